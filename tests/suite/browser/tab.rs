//! A Chromium and its tabs.

use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chromiumoxide::cdp::browser_protocol::emulation::{
    MediaFeature, SetDeviceMetricsOverrideParams, SetFocusEmulationEnabledParams,
};
use chromiumoxide::cdp::browser_protocol::input::InsertTextParams;
use chromiumoxide::cdp::browser_protocol::log::{EventEntryAdded, LogEntryLevel};
use chromiumoxide::cdp::browser_protocol::page::CaptureScreenshotFormat;
use chromiumoxide::cdp::browser_protocol::target::CreateTargetParams;
use chromiumoxide::cdp::js_protocol::runtime::{
    ConsoleApiCalledType, EventConsoleApiCalled, EventExceptionThrown,
};
use chromiumoxide::page::ScreenshotParams;
use chromiumoxide::{Browser, BrowserConfig, Page};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::harness::{DEADLINE, chromium, screenshots, within};

/// A headless Chromium with a fresh profile.
pub(super) struct Chromium {
    browser: Browser,
    handler: JoinHandle<()>,
    _profile: TempDir,
}

/// A page in a window of its own, so that it counts as looked at, and what the browser complained of in it.
pub(super) struct Tab {
    page: Page,
    complaints: Arc<Mutex<Vec<String>>>,
    listeners: Vec<JoinHandle<()>>,
}

/// Gathers what the content security policy stops.
const WATCH_POLICY: &str = "addEventListener('securitypolicyviolation', (event) => {
    (globalThis.violations ??= []).push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
});";

impl Chromium {
    pub(super) async fn launch() -> Self {
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let args = [
            "disable-gpu",
            "disable-quic",
            "disable-component-update",
            "no-default-browser-check",
            // The servers over TLS have certificates of their own.
            "ignore-certificate-errors",
        ];
        let config = BrowserConfig::builder()
            .chrome_executable(chromium())
            .user_data_dir(profile.path())
            .no_sandbox()
            .viewport(None)
            .window_size(1280, 800)
            .launch_timeout(DEADLINE)
            .args(args)
            .build()
            .expect("a configuration of the browser");
        let (browser, mut handler) = within("Chromium starts", Browser::launch(config))
            .await
            .unwrap_or_else(|error| panic!("Chromium: {error}"));
        // What it cannot decode (a newer browser's events) is not ours to judge.
        let handler = tokio::spawn(async move { while handler.next().await.is_some() {} });
        Self {
            browser,
            handler,
            _profile: profile,
        }
    }

    /// Opens `url` and waits until the page is online.
    pub(super) async fn open(&self, url: &str) -> Tab {
        let window = CreateTargetParams::builder()
            .url("about:blank")
            .new_window(true)
            .build()
            .expect("a window");
        let page = within("a new page", self.browser.new_page(window))
            .await
            .expect("a new page");
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let listeners = vec![
            listen(&page, &complaints, |event: &EventExceptionThrown| {
                let details = &event.exception_details;
                Some(format!(
                    "exception: {} {:?}",
                    details.text,
                    details.exception.as_ref().map(|thrown| &thrown.description)
                ))
            })
            .await,
            listen(&page, &complaints, |event: &EventConsoleApiCalled| {
                let wrong = [
                    ConsoleApiCalledType::Error,
                    ConsoleApiCalledType::Warning,
                    ConsoleApiCalledType::Assert,
                ];
                wrong
                    .contains(&event.r#type)
                    .then(|| format!("console: {:?}", event.args))
            })
            .await,
            listen(&page, &complaints, |event: &EventEntryAdded| {
                let entry = &event.entry;
                let wrong =
                    entry.level == LogEntryLevel::Error || entry.level == LogEntryLevel::Warning;
                wrong.then(|| {
                    format!(
                        "log ({:?}): {} {}",
                        entry.source,
                        entry.text,
                        entry.url.as_deref().unwrap_or_default()
                    )
                })
            })
            .await,
        ];
        page.enable_log().await.expect("the log of the page");
        page.enable_runtime()
            .await
            .expect("the console of the page");
        page.evaluate_on_new_document(WATCH_POLICY)
            .await
            .expect("a watch on the policy");
        page.execute(SetFocusEmulationEnabledParams::new(true))
            .await
            .expect("the focus");
        within("the page loads", page.goto(url))
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        let tab = Tab {
            page,
            complaints,
            listeners,
        };
        tab.is_online().await;
        tab
    }

    pub(super) async fn close(mut self) {
        within("Chromium closes", self.browser.close())
            .await
            .expect("Chromium closes");
        within("Chromium ends", self.browser.wait())
            .await
            .expect("Chromium ends");
        self.handler.abort();
    }
}

async fn listen<E>(
    page: &Page,
    complaints: &Arc<Mutex<Vec<String>>>,
    complaint: impl Fn(&E) -> Option<String> + Send + 'static,
) -> JoinHandle<()>
where
    E: chromiumoxide::cdp::IntoEventKind + Send + Sync + Unpin + 'static,
{
    let mut events = page
        .event_listener::<E>()
        .await
        .expect("events of the page");
    let complaints = Arc::clone(complaints);
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let Some(text) = complaint(&event) {
                complaints.lock().unwrap().push(text);
            }
        }
    })
}

impl Tab {
    /// The value of a JavaScript expression.
    pub(super) async fn eval<T: DeserializeOwned>(&self, expression: &str) -> T {
        let result = within(expression, self.page.evaluate(expression)).await;
        let result = result.unwrap_or_else(|error| panic!("{expression}: {error}"));
        result
            .into_value()
            .unwrap_or_else(|error| panic!("the value of {expression}: {error}"))
    }

    /// Waits until `expression` has the value `wanted`.
    pub(super) async fn comes_to<T: DeserializeOwned + PartialEq + Debug>(
        &self,
        expression: &str,
        wanted: T,
    ) {
        let start = Instant::now();
        loop {
            let found: T = self.eval(expression).await;
            if found == wanted {
                return;
            }
            if start.elapsed() > DEADLINE {
                let shown: String = self.eval("document.body.innerText").await;
                let complaints = self.complaints.lock().unwrap().join("\n");
                panic!(
                    "not within {DEADLINE:?}: {expression} is {found:?}, not {wanted:?}\n── the page\n{shown}\n\
                     ── its complaints\n{complaints}\n──"
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) async fn is_online(&self) {
        self.comes_to(
            "document.querySelector('#status')?.dataset.state ?? 'no #status'",
            "online".to_owned(),
        )
        .await;
    }

    /// Waits until the messages are just these texts, in this order.
    pub(super) async fn shows(&self, texts: &[&str]) {
        let wanted: Vec<_> = texts.iter().map(|&text| text.to_owned()).collect();
        self.comes_to(TEXTS, wanted).await;
    }

    /// Types `text` into `field`, in place of what is there.
    pub(super) async fn fill(&self, field: &str, text: &str) {
        let element = self
            .page
            .find_element(field)
            .await
            .unwrap_or_else(|error| panic!("{field}: {error}"));
        element
            .click()
            .await
            .unwrap_or_else(|error| panic!("a click on {field}: {error}"));
        self.eval::<bool>(&format!(
            "document.querySelector({field:?}).select() === undefined"
        ))
        .await;
        self.page
            .execute(InsertTextParams::new(text))
            .await
            .expect("text is typed");
    }

    /// Presses `key` in `field`.
    pub(super) async fn press(&self, field: &str, key: &str) {
        let element = self
            .page
            .find_element(field)
            .await
            .unwrap_or_else(|error| panic!("{field}: {error}"));
        element
            .press_key(key)
            .await
            .unwrap_or_else(|error| panic!("{key} in {field}: {error}"));
    }

    pub(super) async fn click(&self, selector: &str) {
        let element = self
            .page
            .find_element(selector)
            .await
            .unwrap_or_else(|error| panic!("{selector}: {error}"));
        element
            .click()
            .await
            .unwrap_or_else(|error| panic!("a click on {selector}: {error}"));
    }

    /// Sends `text` as a person does.
    pub(super) async fn send(&self, text: &str) {
        self.fill("#text", text).await;
        self.press("#text", "Enter").await;
    }

    pub(super) async fn reload(&self) {
        within("the page loads again", self.page.reload())
            .await
            .expect("the page loads again");
        self.is_online().await;
    }

    /// Shows the page as a screen of this size does.
    pub(super) async fn resize(&self, width: i64, height: i64, mobile: bool) {
        let screen = SetDeviceMetricsOverrideParams::new(width, height, 2.0, mobile);
        self.page
            .execute(screen)
            .await
            .expect("a size of the screen");
    }

    pub(super) async fn prefer(&self, feature: &str, value: &str) {
        let feature = MediaFeature::new(feature, value);
        self.page
            .emulate_media_features(vec![feature])
            .await
            .expect("a media feature");
    }

    /// Takes a picture into the folder that git ignores.
    pub(super) async fn picture(&self, name: &str) {
        let params = ScreenshotParams::builder()
            .format(CaptureScreenshotFormat::Png)
            .build();
        let png = within("a screenshot", self.page.screenshot(params))
            .await
            .expect("a screenshot");
        write(&screenshots().join(name), &png);
    }

    /// What the browser complained of, and what the policy stopped.
    pub(super) async fn complaints(&self) -> Vec<String> {
        let violations: Vec<String> = self.eval("globalThis.violations ?? []").await;
        let mut complaints = self.complaints.lock().unwrap().clone();
        complaints.extend(
            violations
                .into_iter()
                .map(|violation| format!("policy: {violation}")),
        );
        complaints
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        for listener in &self.listeners {
            listener.abort();
        }
    }
}

/// The texts of all messages in the log.
pub(super) const TEXTS: &str =
    "[...document.querySelectorAll('#log [data-id] .text')].map((text) => text.textContent)";

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
