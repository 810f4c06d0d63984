//! Viewers: they come, are torn away, and come back with the position of the last message they saw.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::checker::{Start, Stay, Viewer};
use crate::text;
use crate::world::{MARKERS, Phase, RESUME_WINDOW, World};

/// How long a handshake may take: an instance may wait 5 s before it says that a position is not ours.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Resumes later than this are not held to be within the window: clocks and positions need some room.
const WITHIN: Duration = RESUME_WINDOW.saturating_sub(Duration::from_secs(20));
/// What a guest asks for.
const GUEST_HISTORY: usize = 30;

/// What kind of viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Stays at the instance that is never killed.
    Steady,
    /// Goes from instance to instance.
    Roaming,
    /// Comes once, looks at the history and what follows, and leaves.
    Guest,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Frame {
    Joined {
        room: String,
        position: String,
        recovered: bool,
    },
    Messages {
        messages: Vec<Shown>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Shown {
    room: String,
    text: String,
    position: String,
}

type Socket = WebSocketStream<TcpStream>;

/// One viewer, as it goes through the run.
pub(crate) struct View {
    world: Arc<World>,
    rng: fastrand::Rng,
    habit: Habit,
    room: usize,
    /// Its place in the recording.
    place: usize,
    /// Where it resumes, and when it was last known to be connected.
    last: Option<(String, Instant)>,
    instance: usize,
}

impl View {
    pub(crate) fn new(
        world: &Arc<World>,
        room: usize,
        habit: Habit,
        name: String,
        mut rng: fastrand::Rng,
    ) -> Self {
        let mut recording = world.recording();
        let place = recording.viewers.len();
        recording.viewers.push(Viewer {
            name,
            room,
            left: habit == Habit::Guest,
            stays: Vec::new(),
            diary: Vec::new(),
            strange: Vec::new(),
        });
        drop(recording);
        let holder = world.instances.len() - 1;
        Self {
            instance: if habit == Habit::Steady {
                holder
            } else {
                rng.usize(..holder)
            },
            world: Arc::clone(world),
            rng,
            habit,
            room,
            place,
            last: None,
        }
    }

    /// Views until everybody goes; a guest for a few seconds.
    pub(crate) async fn run(mut self) {
        let world = Arc::clone(&self.world);
        let stay = match self.habit {
            Habit::Guest => Duration::from_millis(self.rng.u64(500..4_000)),
            _ => Duration::MAX,
        };
        let leave = async {
            tokio::select! {
                () = sleep(stay) => {}
                () = world.reached(Phase::Closing) => {}
            }
        };
        tokio::pin!(leave);
        loop {
            tokio::select! {
                () = &mut leave => return,
                () = self.visit() => {}
            }
        }
    }

    /// Comes to an instance, stays a while, and goes.
    async fn visit(&mut self) {
        let is_ready = if self.habit == Habit::Steady {
            true
        } else {
            let holder = self.world.instances.len() - 1;
            if self.rng.u8(..10) < 6 {
                let was = self.instance;
                self.instance = self.rng.usize(..holder);
                if self.last.is_some() && was != self.instance {
                    self.world.tally.elsewhere.add();
                }
            }
            self.world.is_ready(self.instance).await
        };
        // As behind a load balancer; but now and then one comes all the same.
        if !is_ready && self.rng.u8(..40) > 0 {
            return sleep(Duration::from_millis(self.rng.u64(50..250))).await;
        }
        match timeout(HANDSHAKE, self.join(is_ready)).await {
            Ok(Some(socket)) => self.stay(socket).await,
            _ => return sleep(Duration::from_millis(self.rng.u64(50..250))).await,
        }
        if self.habit == Habit::Roaming && self.world.is_in(Phase::Breaking) {
            let longest = if self.rng.u8(..16) == 0 {
                20_000
            } else {
                1_000
            };
            sleep(Duration::from_millis(self.rng.u64(..longest))).await;
        }
    }

    /// Connects and takes the `joined` frame.
    async fn join(&mut self, is_ready: bool) -> Option<Socket> {
        let world = Arc::clone(&self.world);
        let address = world.instances.get(self.instance)?.address;
        let room = world.rooms.get(self.room)?;
        let forged = [
            "nonsense",
            "1.0",
            "99999999999999999999999999999999999999999999999999999999.0",
        ];
        let after = match &self.last {
            Some((position, _)) => Some(position.as_str()),
            None if self.habit == Habit::Guest && self.rng.u8(..6) == 0 => self.rng.choice(forged),
            None => None,
        };
        let history = match self.habit {
            Habit::Guest => format!("&history={GUEST_HISTORY}"),
            _ => String::new(),
        };
        let resume = after.map_or_else(String::new, |after| format!("&after={after}"));
        let url = format!("ws://{address}/websockets/chat-messages?room={room}{history}{resume}");
        let mut request = url.into_client_request().ok()?;
        request.headers_mut().insert(
            "Sec-WebSocket-Protocol",
            HeaderValue::from_static("chat-room.v1"),
        );
        let absent = self.last.as_ref().map(|(_, since)| since.elapsed());
        let stream = TcpStream::connect(address).await.ok()?;
        let (mut socket, _) = client_async(request, stream).await.ok()?;
        loop {
            match socket.next().await?.ok()? {
                Message::Text(text) => match serde_json::from_str(&text) {
                    Ok(Frame::Joined {
                        room: joined,
                        position,
                        recovered,
                    }) => {
                        if joined != *room {
                            self.strange(format!("asked for {room} and joined {joined}"));
                        }
                        let note = format!(
                            "joined {} at {position}, after {}, recovered {recovered}, ready {is_ready}",
                            self.instance,
                            after.unwrap_or("nothing")
                        );
                        self.note(&note);
                        self.joined(absent, after.is_some(), recovered, is_ready);
                        self.last = Some((position, Instant::now()));
                        return Some(socket);
                    }
                    _ => self.strange(format!("the first frame is {text}")),
                },
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// Writes down how it came to be here.
    fn joined(&mut self, absent: Option<Duration>, asked: bool, recovered: bool, is_ready: bool) {
        let tally = &self.world.tally;
        let start = match absent {
            None => {
                tally.joins.add();
                if asked {
                    tally.forged.add();
                }
                if recovered {
                    self.strange("recovered without a position of its own".to_owned());
                }
                Some(Start::Anew)
            }
            Some(absent) if absent > WITHIN => {
                tally.late_resumes.add();
                (!recovered).then_some(Start::Anew)
            }
            Some(_) if recovered => {
                tally.recovered.add();
                None
            }
            Some(_) => {
                tally.not_recovered.add();
                if !is_ready {
                    tally.not_recovered_unready.add();
                }
                Some(Start::NotRecovered)
            }
        };
        let Some(start) = start else { return };
        let joined = self.world.now();
        if let Some(viewer) = self.world.recording().viewers.get_mut(self.place) {
            viewer.stays.push(Stay {
                start,
                joined,
                shown: Vec::new(),
            });
        }
    }

    /// Takes what comes, until it has enough or is torn away.
    async fn stay(&mut self, mut socket: Socket) {
        let roams = self.habit == Habit::Roaming;
        let leave = Duration::from_millis(self.rng.u64(500..16_000));
        let leave = tokio::time::Instant::now() + leave;
        let patience = Duration::from_millis(self.rng.u64(3_000..40_000));
        loop {
            let is_breaking = self.world.is_in(Phase::Breaking);
            tokio::select! {
                next = timeout(patience, socket.next()) => match next {
                    Ok(Some(Ok(Message::Text(text)))) => self.take(&text),
                    Ok(end @ (Some(Ok(Message::Close(_)) | Err(_)) | None)) => {
                        self.note(&format!("torn away: {end:?}"));
                        self.world.tally.lost_connections.add();
                        return;
                    }
                    Ok(Some(Ok(_))) => {
                        let _ = timeout(Duration::from_secs(1), socket.flush()).await;
                    }
                    Err(_) if roams && is_breaking => return,
                    Err(_) => {}
                },
                () = tokio::time::sleep_until(leave), if roams && is_breaking => {
                    if self.rng.u8(..4) == 0 {
                        let _ = timeout(Duration::from_secs(1), socket.close(None)).await;
                    }
                    return;
                }
            }
        }
    }

    fn take(&mut self, frame: &str) {
        let messages = match serde_json::from_str(frame) {
            Ok(Frame::Messages { messages }) => messages,
            Ok(Frame::Joined { .. }) => return self.strange("joined a second time".to_owned()),
            Ok(Frame::Other) => return,
            Err(error) => return self.strange(format!("{error} in the frame {frame}")),
        };
        let Some(last) = messages.last() else {
            return self.strange("a frame without messages".to_owned());
        };
        self.last = Some((last.position.clone(), Instant::now()));
        let own = self.world.rooms.get(self.room).cloned().unwrap_or_default();
        let mut keys = Vec::with_capacity(messages.len());
        for shown in &messages {
            match text::parse(&shown.text) {
                Some((room, key)) => {
                    if shown.room != own || room != own {
                        self.strange(format!(
                            "shown in {own}: {:?}, marked as of {}",
                            shown.text, shown.room
                        ));
                    }
                    keys.push(key);
                }
                None => self.strange(format!("shown {:?}, which nobody posted", shown.text)),
            }
        }
        for key in &keys {
            self.world.tally.shown.add();
            if key.publisher >= MARKERS {
                self.world.marked(self.place);
            }
        }
        let mut recording = self.world.recording();
        let viewer = recording.viewers.get_mut(self.place);
        if let Some(stay) = viewer.and_then(|viewer| viewer.stays.last_mut()) {
            stay.shown.extend(keys);
        }
    }

    fn note(&self, what: &str) {
        let seconds = Duration::from_millis(self.world.now()).as_secs_f64();
        if let Some(viewer) = self.world.recording().viewers.get_mut(self.place) {
            let seen = viewer.stays.last().map_or(0, |stay| stay.shown.len());
            viewer
                .diary
                .push(format!("{seconds:.2} s, {seen} seen: {what}"));
        }
    }

    fn strange(&self, what: String) {
        if let Some(viewer) = self.world.recording().viewers.get_mut(self.place) {
            viewer.strange.push(what);
        }
    }
}
