//! The page in a real browser: Debian's Chromium, headless.

mod tab;

use serde_json::json;
use tab::{Chromium, Tab};

use crate::harness::{Launch, Server, Viewer};

const HOSTILE: &str = "<img src=x onerror=globalThis.hit=1><script>globalThis.hit=2</script>";

/// Asserts that the browser found nothing to complain of, but for a server that could not be reached when that was to be expected.
async fn assert_no_complaints(tab: &Tab, server_was_away: bool) {
    let mut complaints = tab.complaints().await;
    if server_was_away {
        complaints.retain(|text| {
            !text.contains("net::ERR_") && !text.contains("WebSocket connection to")
        });
    }
    assert!(
        complaints.is_empty(),
        "the browser complains:\n{}",
        complaints.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_sent_in_one_page_is_seen_in_the_other() {
    let server = Server::start(&[]).await;
    let chromium = Chromium::launch().await;
    let ada = chromium.open(&server.url("/?room=den")).await;
    let bob = chromium.open(&server.url("/?room=den")).await;
    let elsewhere = chromium.open(&server.url("/?room=other")).await;
    assert_eq!(
        ada.eval::<String>("document.querySelector('#room').value")
            .await,
        "den",
        "the room of the URL"
    );

    ada.fill("#name", "Ada").await;
    ada.send("hello from Ada").await;
    ada.shows(&["hello from Ada"]).await;
    bob.shows(&["hello from Ada"]).await;
    ada.comes_to(
        "document.querySelector('#log [data-id]').dataset.state ?? 'sent'",
        "sent".to_owned(),
    )
    .await;
    assert_eq!(
        ada.eval::<String>("document.activeElement.id").await,
        "text",
        "focus stays in the field"
    );
    assert_eq!(
        ada.eval::<String>("document.querySelector('#text').value")
            .await,
        "",
        "and the field is empty"
    );
    assert!(
        bob.eval::<String>("document.querySelector('#log').innerText")
            .await
            .contains("Ada"),
        "the name is shown"
    );

    bob.send("and back").await;
    ada.shows(&["hello from Ada", "and back"]).await;
    elsewhere.shows(&[]).await;
    for tab in [&ada, &bob, &elsewhere] {
        assert_no_complaints(tab, false).await;
    }
    chromium.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_takes_compression_and_shows_what_was_compressed() {
    let server = Server::start(&[]).await;
    let long: Vec<_> = (0..3)
        .map(|n| format!("{n} {}", "long ".repeat(200)))
        .collect();
    server.say("den", long[0].trim_end()).await;
    let chromium = Chromium::launch().await;
    let ada = chromium.open(&server.url("/?room=den")).await;
    let viewers = "chat_room_fanout_viewers{encoding=\"v1-deflate\"}";
    assert!((server.metric(viewers).await - 1.0).abs() < 0.5);
    for text in &long[1..] {
        server.say("den", text.trim_end()).await;
    }
    ada.shows(&[long[0].trim_end(), long[1].trim_end(), long[2].trim_end()])
        .await;
    let compressed = "chat_room_log_compressions_total{outcome=\"compressed\"}";
    assert!(
        server.metric(compressed).await >= 3.0,
        "the history and two batches"
    );
    assert_no_complaints(&ada, false).await;
    chromium.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_over_https_publishes_and_watches_over_tls() {
    let server = Launch::new().tls().start().await;
    let chromium = Chromium::launch().await;
    let ada = chromium.open(&server.url("/?room=den")).await;
    let bob = chromium.open(&server.url("/?room=den")).await;
    ada.send("over TLS").await;
    for tab in [&ada, &bob] {
        tab.shows(&["over TLS"]).await;
        let resources = "performance.getEntriesByType('resource').map((one) => one.name)";
        let loaded: Vec<String> = tab.eval(resources).await;
        assert!(
            loaded.iter().all(|url| url.starts_with("https:")),
            "{loaded:?}"
        );
        let protocol = "performance.getEntriesByType('navigation')[0].nextHopProtocol";
        assert_eq!(tab.eval::<String>(protocol).await, "h2");
        assert_no_complaints(tab, false).await;
    }
    let upgrades = "chat_room_http_upgrades_total{encoding=\"v1-deflate\"}";
    assert!(server.metric(upgrades).await > 1.5);
    chromium.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_shown_as_text() {
    let server = Server::start(&[]).await;
    let chromium = Chromium::launch().await;
    let ada = chromium.open(&server.url("/")).await;
    ada.send(HOSTILE).await;
    let name = "<b onclick=hit()>";
    server
        .publish(&json!({"text": "two\nlines\tand & <i>more</i>", "name": name}))
        .await;
    let texts = [HOSTILE, "two\nlines\tand & <i>more</i>"];
    ada.shows(&texts).await;
    let bob = chromium.open(&server.url("/")).await;
    bob.shows(&texts).await;
    for tab in [&ada, &bob] {
        assert_eq!(
            tab.eval::<usize>("document.querySelectorAll('#log :is(img, script, i, b)').length")
                .await,
            0
        );
        assert!(
            tab.eval::<bool>("globalThis.hit === undefined").await,
            "nothing of it ran"
        );
        assert!(
            tab.eval::<String>("document.querySelector('#log').innerText")
                .await
                .contains(name)
        );
        assert_no_complaints(tab, false).await;
    }
    chromium.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_that_turns_its_direction_turns_nothing_else() {
    let server = Server::start(&[]).await;
    let chromium = Chromium::launch().await;
    // Overrides, embeddings and isolates that are never closed, and one too many that closes.
    let tricks = [
        "\u{202e}",
        "\u{202b}",
        "\u{2067}",
        "\u{202e}\u{2067}\u{202e}",
        "\u{2069}\u{202c}\u{2069}",
        "\u{200f}",
        "\u{061c}\u{202e}",
    ];
    let mut texts = Vec::new();
    for trick in tricks {
        for (name, text) in [
            (format!("Ada{trick}nimda"), format!("before {trick}after")),
            ("Bob".to_owned(), "plain text".to_owned()),
        ] {
            server
                .publish(&json!({"text": text, "name": name, "room": "den"}))
                .await;
            texts.push(text);
        }
    }
    let tab = chromium.open(&server.url("/?room=den")).await;
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    tab.shows(&texts).await;
    // The time stands behind the name and not in it, and what follows begins where it would have.
    let harmless = "(() => {
        const box = (element) => element.getBoundingClientRect();
        const all = [...document.querySelectorAll('#log [data-id]')];
        const ltr = (element) => getComputedStyle(element).direction === 'ltr';
        const plain = all.filter((_, index) => index % 2 === 1);
        const left = (element) => {
            const range = document.createRange();
            range.selectNodeContents(element.querySelector('.text'));
            return Math.round(range.getBoundingClientRect().left);
        };
        return [
            all.every(ltr),
            all.every((one) => box(one.querySelector('.time')).left >= box(one.querySelector('.name')).right - 1),
            plain.every((one) => left(one) === left(plain[0])),
            all.every((one) => box(one).left >= 0 && box(one).right <= innerWidth),
        ];
    })()";
    assert_eq!(tab.eval::<Vec<bool>>(harmless).await, [true; 4]);
    assert_no_complaints(&tab, false).await;
    chromium.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_a_page_comes_back_after_a_restart_and_shows_nothing_twice() {
    let stream = Server::start_sharing(&[]).await;
    let server = Server::start_beside(&stream, &[]).await;
    let address = server.address();
    let chromium = Chromium::launch().await;
    let ada = chromium.open(&server.url("/?room=den")).await;
    let bob = chromium.open(&server.url("/?room=den")).await;
    ada.send("before").await;
    bob.shows(&["before"]).await;

    server.stop().await;
    for tab in [&ada, &bob] {
        tab.comes_to(
            "document.querySelector('#status').dataset.state !== 'online'",
            true,
        )
        .await;
    }
    stream.say("den", "meanwhile").await;
    ada.send("into the void").await;
    ada.comes_to(
        "document.querySelectorAll('#log [data-state=pending], #log [data-state=failed]').length",
        1,
    )
    .await;

    let server = Launch::on_kinesis_at(stream.kinesis())
        .listen(address)
        .start()
        .await;
    for tab in [&ada, &bob] {
        tab.is_online().await;
    }
    // Sent again by itself or on request: the id makes either safe.
    ada.comes_to(
        "document.querySelectorAll('#log [data-state=pending], #log [data-state=failed]').length === 0
         || (document.querySelector('#log [data-state=failed] .retry')?.click(), false)",
        true,
    )
    .await;
    server.say("den", "after").await;
    for tab in [&ada, &bob] {
        tab.shows(&["before", "meanwhile", "into the void", "after"])
            .await;
        let ids: Vec<String> = tab
            .eval("[...document.querySelectorAll('#log [data-id]')].map((item) => item.dataset.id)")
            .await;
        let mut distinct = ids.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!((ids.len(), distinct.len()), (4, 4), "{ids:?}");
        assert_no_complaints(tab, true).await;
    }
    chromium.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_a_page_that_is_loaded_again_shows_the_history_once() {
    let server = Server::start(&[]).await;
    let chromium = Chromium::launch().await;
    let ada = chromium.open(&server.url("/?room=den")).await;
    for text in ["one", "two", "three"] {
        ada.send(text).await;
    }
    ada.shows(&["one", "two", "three"]).await;
    ada.reload().await;
    ada.shows(&["one", "two", "three"]).await;
    ada.comes_to(
        "document.querySelector('#log').getAttribute('aria-busy') ?? 'false'",
        "false".to_owned(),
    )
    .await;
    assert_no_complaints(&ada, false).await;
    chromium.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_old_messages_is_told_of_new_ones() {
    let server = Server::start(&[]).await;
    let chromium = Chromium::launch().await;
    let ada = chromium.open(&server.url("/?room=den")).await;
    let texts: Vec<_> = (0..80).map(|number| format!("message {number}")).collect();
    server.say_all("den", &texts).await;
    ada.comes_to("document.querySelectorAll('#log [data-id]').length", 80)
        .await;
    let at_bottom = "(() => { const log = document.querySelector('#log');
        return Math.abs(log.scrollHeight - log.scrollTop - log.clientHeight) < 4; })()";
    ada.comes_to(at_bottom, true).await;
    assert!(
        ada.eval::<bool>("document.querySelector('#new-messages').hidden")
            .await
    );

    ada.eval::<bool>("(document.querySelector('#log').scrollTop = 0) === 0")
        .await;
    ada.comes_to(at_bottom, false).await;
    server.say("den", "news").await;
    ada.comes_to("document.querySelector('#new-messages').hidden", false)
        .await;
    assert!(
        ada.eval::<String>("document.querySelector('#new-messages').textContent")
            .await
            .contains('1')
    );
    ada.comes_to("document.querySelector('#log').scrollTop < 50", true)
        .await;
    ada.click("#new-messages").await;
    ada.comes_to(at_bottom, true).await;
    ada.comes_to("document.querySelector('#new-messages').hidden", true)
        .await;
    assert_no_complaints(&ada, false).await;
    chromium.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_fits_wide_and_phone_screens_in_light_and_dark() {
    let server = Server::start(&[]).await;
    let talk = [
        ("Ada", "Good evening, everybody. Is this thing on?"),
        ("Grace", "Loud and clear 👋"),
        ("Linus", "What is the first talk about?"),
        (
            "Ada",
            "About chat rooms, of all things.\nThere will be numbers.",
        ),
        (
            "Grace",
            "A very long word to see where it breaks: Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
        ),
        ("محمد", "مرحبا بالجميع"),
        ("Linus", HOSTILE),
        (
            "Ada",
            "https://example.com/a/rather/long/path?with=a&query=string#and-a-fragment",
        ),
    ];
    let mut viewer = Viewer::join(&server, "room=den").await;
    for (name, text) in talk {
        server
            .publish(&json!({"text": text, "name": name, "room": "den"}))
            .await;
    }
    viewer.take(talk.len()).await;
    let chromium = Chromium::launch().await;
    let tab = chromium.open(&server.url("/?room=den")).await;
    tab.comes_to(
        "document.querySelectorAll('#log [data-id]').length",
        talk.len(),
    )
    .await;
    tab.fill("#name", "Barbara").await;
    tab.send("I am new here. Hello!").await;
    tab.comes_to(
        "document.querySelectorAll('#log [data-id]').length",
        talk.len() + 1,
    )
    .await;
    tab.comes_to(
        "document.querySelectorAll('#log [data-state=pending]').length",
        0,
    )
    .await;

    for (scheme, suffix) in [("light", ""), ("dark", "-dark")] {
        tab.prefer("prefers-color-scheme", scheme).await;
        for (name, width, height, mobile) in [
            ("wide", 1280, 800, false),
            ("phone", 390, 844, true),
            ("narrow", 320, 568, true),
        ] {
            tab.resize(width, height, mobile).await;
            tab.comes_to("innerWidth", width).await;
            let overflow = "document.documentElement.scrollWidth - innerWidth";
            assert!(
                tab.eval::<i64>(overflow).await <= 0,
                "{name}: the page is wider than the screen"
            );
            let visible =
                "(() => { const box = document.querySelector('#text').getBoundingClientRect();
                return box.width > 0 && box.top >= 0 && box.bottom <= innerHeight; })()";
            tab.comes_to(visible, true).await;
            tab.picture(&format!("{name}{suffix}.png")).await;
        }
    }
    let colours = async |scheme: &str| {
        tab.prefer("prefers-color-scheme", scheme).await;
        tab.eval::<String>("getComputedStyle(document.body).color")
            .await
    };
    assert_ne!(
        colours("light").await,
        colours("dark").await,
        "dark looks different"
    );
    assert_no_complaints(&tab, false).await;
    chromium.close().await;
}
