//! One page in the browser: what a reader does with it, and what it complains about.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::chromium::Chromium;

/// A tab with a page from the disk.
pub(crate) struct Tab {
    chromium: Chromium,
    session: String,
    address: String,
}

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Whether the reader likes dark pages.
    pub dark: bool,
    /// Width of the window in CSS pixels.
    pub width: u32,
}

impl Tab {
    /// A tab in which nothing is open yet. `name` keeps the profiles of tests that run side by side apart.
    pub(crate) fn new(program: &str, name: &str) -> Self {
        let profile = kept(&format!("profile-{name}-{}", std::process::id()));
        let mut chromium = Chromium::start(program, &profile);
        let target = chromium.call(None, "Target.createTarget", json!({ "url": "about:blank" }));
        let attached = json!({ "targetId": target["targetId"], "flatten": true });
        let session =
            chromium.call(None, "Target.attachToTarget", attached)["sessionId"].as_str().expect("an id").to_owned();
        let mut tab = Self { chromium, session, address: String::new() };
        for domain in ["Page", "Runtime", "Log", "Network", "Audits", "DOM"] {
            tab.call(&format!("{domain}.enable"), json!({}));
        }
        tab
    }

    /// Calls a method of the tab.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.chromium.call(Some(&self.session), method, parameters)
    }

    /// Opens a file and waits until all of it is there.
    pub(crate) fn open(&mut self, path: &Path) {
        self.address = format!("file://{}", path.display());
        self.chromium.take_events();
        let answer = self.call("Page.navigate", json!({ "url": self.address }));
        assert!(answer["errorText"].is_null(), "{answer}");
        self.chromium.event("Page.loadEventFired");
    }

    /// Sets the width of the window and the colours that the reader prefers.
    pub(crate) fn look(&mut self, look: Look) {
        let metrics = json!({ "width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = if look.dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// The value of an expression, or of the promise that it is.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", parameters);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].take()
    }

    /// The text of an expression.
    pub(crate) fn text(&mut self, expression: &str) -> String {
        let value = self.value(expression);
        value.as_str().unwrap_or_else(|| panic!("{expression} is {value}")).to_owned()
    }

    /// Moves the pointer to the middle of an element, or to another part of it in fractions of its width and height.
    pub(crate) fn point(&mut self, selector: &str, part: (f64, f64)) {
        let (x, y) = self.place(selector, part);
        self.call("Input.dispatchMouseEvent", json!({ "type": "mouseMoved", "x": x, "y": y }));
    }

    /// Clicks in the middle of an element.
    pub(crate) fn click(&mut self, selector: &str) {
        let (x, y) = self.place(selector, (0.5, 0.5));
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Scrolls an element into the middle of the window and returns a place in it.
    fn place(&mut self, selector: &str, (right, down): (f64, f64)) -> (f64, f64) {
        let find = format!(
            "(() => {{ const node = document.querySelector({}); node.scrollIntoView({{ block: 'center' }});
               const box = node.getBoundingClientRect(); return [box.x, box.y, box.width, box.height]; }})()",
            json!(selector)
        );
        let found = self.value(&find);
        let number = |at: usize| found[at].as_f64().unwrap_or_else(|| panic!("no place for {selector}"));
        (number(0) + number(2) * right, number(1) + number(3) * down)
    }

    /// Presses a key that has a name, such as `ArrowRight`, with the number that Windows gave it.
    pub(crate) fn press(&mut self, key: &str, number: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": number });
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Keeps a picture of the whole page.
    pub(crate) fn keep_picture(&mut self, path: &Path) {
        let answer = self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
        std::fs::write(path, bytes(&answer["data"])).expect("a picture is kept");
    }

    /// Keeps a picture of how the page looks on a sheet of A4, the colours of which are always light.
    pub(crate) fn keep_sheet(&mut self, path: &Path) {
        let metrics = json!({ "width": 720, "height": 1000, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let features = json!([{ "name": "prefers-color-scheme", "value": "dark" }]);
        self.call("Emulation.setEmulatedMedia", json!({ "media": "print", "features": features }));
        self.keep_picture(path);
        self.call("Emulation.setEmulatedMedia", json!({ "media": "" }));
    }

    /// Keeps the page as it is printed, and returns the file's size.
    pub(crate) fn keep_print(&mut self, path: &Path) -> usize {
        let answer =
            self.call("Page.printToPDF", json!({ "printBackground": false, "paperWidth": 8.27, "paperHeight": 11.69 }));
        let file = bytes(&answer["data"]);
        assert!(file.starts_with(b"%PDF-"), "what is printed is a document");
        std::fs::write(path, &file).expect("a print is kept");
        file.len()
    }

    /// Milliseconds from the start of opening to the first picture or text on the screen.
    pub(crate) fn first_paint(&mut self) -> f64 {
        let paint =
            "new Promise((done) => new PerformanceObserver((list) => list.getEntriesByName('first-contentful-paint')
            .forEach((entry) => done(entry.startTime))).observe({ type: 'paint', buffered: true }))";
        self.value(paint).as_f64().expect("a time")
    }

    /// Everything that a good page does not do: errors and warnings in the console, exceptions, breaches of the content
    /// policy, requests for anything but the file itself.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        // An answer comes after all events that were caused before its question.
        self.value("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))");
        let address = self.address.clone();
        self.chromium.take_events().iter().filter_map(|event| complaint(event, &address)).collect()
    }
}

fn complaint(event: &Value, address: &str) -> Option<String> {
    let parameters = &event["params"];
    let is_bad = |level: &Value| level == "error" || level == "warning" || level == "assert";
    match event["method"].as_str()? {
        "Runtime.consoleAPICalled" => is_bad(&parameters["type"]).then(|| format!("console: {parameters}")),
        "Runtime.exceptionThrown" => Some(format!("exception: {parameters}")),
        "Log.entryAdded" => is_bad(&parameters["entry"]["level"]).then(|| format!("log: {}", parameters["entry"])),
        "Audits.issueAdded" => Some(format!("issue: {}", parameters["issue"])),
        "Network.requestWillBeSent" => {
            let asked = parameters["request"]["url"].as_str()?;
            // What begins with `data:` lies in the page already.
            (asked != address && !asked.starts_with("data:")).then(|| format!("request: {asked}"))
        }
        _ => None,
    }
}

fn bytes(base64: &Value) -> Vec<u8> {
    STANDARD.decode(base64.as_str().expect("base64")).expect("base64")
}

/// A place under the build folder that outlives the test.
pub(crate) fn kept(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    std::fs::create_dir_all(&folder).expect("a folder for pictures");
    folder.join(name)
}
