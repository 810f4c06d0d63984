//! AWS, Kubernetes and systemd, as far as their own offline tools go; what has to fit the program is taken from the program.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use chat_room::config::Settings;
use chat_room::embedded::operation_lists;
use regex_lite::Regex;
use serde_json::Value;

use super::{path, read, source, well};
use crate::harness::{Launch, python, suite_file, venv};

const POLICY: &str = "deploy/aws/iam-policy.json";
const CLOUDFORMATION: &str = "deploy/aws/cloudformation.yml";
const KUBERNETES: &str = "deploy/kubernetes/chat-room.yml";
const SYSTEMD: &str = "deploy/systemd/chat-room.service";

/// The documents of a YAML file.
fn yaml(file: &str) -> Vec<Value> {
    let script = suite_file("deploy/yaml_to_json.py");
    let said = well(Command::new(python()).arg(script).arg(path(file)));
    serde_json::from_str(&said).expect("JSON")
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// The element of a list whose `key` is `name`.
fn named(values: &Value, key: &str, name: &str) -> Value {
    let found = list(values).into_iter().find(|value| value[key] == name);
    found.unwrap_or_else(|| panic!("no {key} {name} in {values}"))
}

/// A number, also one written as a string.
fn number(value: &Value) -> u64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    text.or(value.as_u64())
        .unwrap_or_else(|| panic!("a number, not {value}"))
}

fn seconds(value: &Value) -> Duration {
    Duration::from_secs(number(value))
}

/// What a policy's statements allow, by their names.
fn allowed(policy: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let statements = list(&policy["Statement"]).into_iter().map(|statement| {
        assert_eq!(statement["Effect"], "Allow", "{statement}");
        let actions = list(&statement["Action"]).into_iter();
        let actions = actions.map(|action| action.as_str().expect("an action").to_owned());
        (statement["Sid"].to_string(), actions.collect())
    });
    statements.collect()
}

/// The operations of Kinesis that the program calls through the SDK.
fn called() -> BTreeSet<String> {
    let source = source(&path("src/kinesis"));
    let name = Regex::new("`([A-Z][A-Za-z]+)`").expect("a pattern");
    let lists = operation_lists();
    let operations = name
        .captures_iter(&lists)
        .map(|captures| captures.extract::<1>().1[0]);
    let capital = Regex::new("([A-Z])").expect("a pattern");
    let is_called = |operation: &&str| {
        let snake = capital.replace_all(operation, "_$1").to_lowercase();
        source.contains(&format!(".{}()", &snake[1..]))
    };
    let mut called: BTreeSet<_> = operations
        .filter(is_called)
        .map(|operation| format!("kinesis:{operation}"))
        .collect();
    // Registering with tags takes the permission to tag.
    if source.contains(".set_tags(") {
        called.insert("kinesis:TagResource".to_owned());
    }
    called
}

#[test]
fn the_policies_allow_what_the_program_calls_and_nothing_else() {
    let policy: Value = serde_json::from_str(&read(POLICY)).expect("JSON");
    let by_hand = allowed(&policy);
    let all: BTreeSet<_> = by_hand.values().flatten().cloned().collect();
    assert_eq!(all, called());
    let template = yaml(CLOUDFORMATION).remove(0);
    let role = &template["Resources"]["TaskRole"]["Properties"]["Policies"][0];
    assert_eq!(allowed(&role["PolicyDocument"]), by_hand);
}

#[test]
fn cfn_lint_finds_nothing_wrong_with_the_template() {
    assert_eq!(
        well(Command::new(venv("cfn-lint")).arg(path(CLOUDFORMATION))),
        ""
    );
}

#[test]
fn the_manifests_are_valid_by_the_schemas_of_kubernetes() {
    let said = well(
        Command::new(venv("kubernetes-validate"))
            .arg("--strict")
            .arg(path(KUBERNETES)),
    );
    for kind in [
        "serviceaccount",
        "deployment",
        "service",
        "poddisruptionbudget",
    ] {
        let passed = format!("passed for resource {kind}/chat-room");
        assert!(said.contains(&passed), "{passed} is not in:\n{said}");
    }
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit_and_little_exposed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let unit = folder.path().join("chat-room.service");
    let program = env!("CARGO_BIN_EXE_chat-room");
    let text = read(SYSTEMD);
    let ours = text.replace("/usr/local/bin/chat-room", program);
    assert_ne!(ours, text);
    std::fs::write(&unit, ours).expect("a file");
    assert_eq!(
        well(Command::new("systemd-analyze").arg("verify").arg(&unit)),
        ""
    );
    // From 0 (nothing exposed) to 10; the threshold is in tenths.
    well(
        Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager", "--threshold=20"])
            .arg(&unit),
    );
}

/// How a platform starts and ends the program.
struct Platform {
    name: &'static str,
    /// The program's environment.
    env: Vec<(String, String)>,
    /// From the signal to stop to the end by force.
    stop: Duration,
    /// Until nobody sends anything new to an instance that says that it is not ready.
    notices: Duration,
}

impl Platform {
    fn settings(&self) -> Settings {
        let env = self.env.iter();
        let env = env.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Settings::load([], None, env).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

/// Names and values; what refers to a parameter has its default, and what to something else is known only there.
fn variables(
    list: &[Value],
    [name, value]: [&str; 2],
    parameters: &Value,
) -> Vec<(String, String)> {
    let text = |value: &Value| {
        let parameter = value["Ref"]
            .as_str()
            .map(|name| &parameters[name]["Default"]);
        let text = value.as_str().or(parameter.and_then(Value::as_str));
        text.unwrap_or("some").to_owned()
    };
    list.iter()
        .map(|entry| (text(&entry[name]), text(&entry[value])))
        .collect()
}

fn fargate() -> Platform {
    let template = yaml(CLOUDFORMATION).remove(0);
    let properties = |name: &str| template["Resources"][name]["Properties"].clone();
    let container = properties("Task")["ContainerDefinitions"][0].clone();
    let check = properties("Targets");
    let checks = u32::try_from(number(&check["UnhealthyThresholdCount"])).expect("a few");
    Platform {
        name: CLOUDFORMATION,
        env: variables(
            &list(&container["Environment"]),
            ["Name", "Value"],
            &template["Parameters"],
        ),
        stop: seconds(&container["StopTimeout"]),
        notices: (seconds(&check["HealthCheckIntervalSeconds"])
            + seconds(&check["HealthCheckTimeoutSeconds"]))
            * checks,
    }
}

fn kubernetes() -> Platform {
    let deployment = named(&Value::from(yaml(KUBERNETES)), "kind", "Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let probe = &container["readinessProbe"];
    let probes = u32::try_from(number(&probe["failureThreshold"])).expect("a few");
    Platform {
        name: KUBERNETES,
        env: variables(&list(&container["env"]), ["name", "value"], &Value::Null),
        stop: seconds(&pod["terminationGracePeriodSeconds"]),
        notices: (seconds(&probe["periodSeconds"]) + seconds(&probe["timeoutSeconds"])) * probes,
    }
}

fn systemd() -> Platform {
    let unit = read(SYSTEMD);
    let stop = unit
        .lines()
        .find_map(|line| line.strip_prefix("TimeoutStopSec="));
    Platform {
        name: SYSTEMD,
        env: Vec::new(),
        stop: seconds(&Value::from(stop.expect("TimeoutStopSec"))),
        // Nobody looks.
        notices: Duration::ZERO,
    }
}

/// As each command starts it that stands somewhere.
fn docker() -> Vec<Platform> {
    let option = Regex::new(r"--stop-timeout[ =](\d+)").expect("a pattern");
    let mut platforms = Vec::new();
    for file in ["README.md", "Dockerfile", "docs/OPERATIONS.md"] {
        let text = read(file);
        let commands = platforms.len();
        platforms.extend(option.captures_iter(&text).map(|captures| Platform {
            name: file,
            env: Vec::new(),
            stop: seconds(&Value::from(&captures[1])),
            // Nobody looks.
            notices: Duration::ZERO,
        }));
        assert!(platforms.len() > commands, "{file} gives a stop no time");
    }
    platforms
}

#[test]
fn every_platform_gives_a_stop_more_time_than_it_takes() {
    let platforms = [fargate(), kubernetes(), systemd()];
    for platform in platforms.into_iter().chain(docker()) {
        let settings = platform.settings();
        // Closing (RFC 6455), deregistering and ending the tasks have limits of their own: 6, 5 and 1 s, and requests that are
        // under way get a second more than a publisher waits.
        let takes = settings.drain_delay
            + settings.drain
            + settings.publish_timeout
            + Duration::from_secs(1)
            + Duration::from_secs(6)
            + settings.flush
            + Duration::from_secs(5)
            + Duration::from_secs(1);
        assert!(
            platform.stop > takes,
            "{}: a stop takes up to {takes:?} and gets {:?}",
            platform.name,
            platform.stop
        );
        assert!(
            settings.drain_delay >= platform.notices,
            "{}: it takes {:?} until nobody comes any more, and --drain-delay is {:?}",
            platform.name,
            platform.notices,
            settings.drain_delay
        );
    }
}

#[test]
fn the_load_balancer_closes_idle_connections_before_the_program_does_and_no_quiet_viewer() {
    let template = yaml(CLOUDFORMATION).remove(0);
    let attributes = &template["Resources"]["LoadBalancer"]["Properties"]["LoadBalancerAttributes"];
    let idle = seconds(&named(attributes, "Key", "idle_timeout.timeout_seconds")["Value"]);
    for platform in [fargate(), kubernetes()] {
        let settings = platform.settings();
        assert!(settings.header_timeout > idle, "{}", platform.name);
        let pings = settings.ping_interval.expect("viewers are pinged");
        assert!(pings * 3 / 2 < idle, "{}", platform.name);
    }
}

/// With a platform's settings, but for what concerns AWS, which is refused together with the embedded stream.
fn launch(platform: &Platform, operations: &str) -> Launch {
    let args = ["--kinesis", "embedded", "--metrics-listen", operations];
    let env = platform.env.iter();
    env.filter(|(name, _)| name != "CHAT_ROOM_REGION")
        .fold(Launch::new(), |launch, (name, value)| {
            launch.env(name, value)
        })
        .args(&args)
}

#[tokio::test]
async fn the_settings_of_every_platform_are_taken() {
    for platform in [fargate(), kubernetes()] {
        // Ended by force: a stop would first wait for a load balancer.
        drop(launch(&platform, "127.0.0.1:0").start().await);
    }
}

#[tokio::test]
async fn what_fargate_asks_the_container_is_what_the_image_asks_and_is_answered() {
    let template = yaml(CLOUDFORMATION).remove(0);
    let container = &template["Resources"]["Task"]["Properties"]["ContainerDefinitions"][0];
    let asked = list(&container["HealthCheck"]["Command"]);
    let image = read("Dockerfile");
    let (_, check) = image.split_once("HEALTHCHECK ").expect("a check");
    let (_, command) = check
        .lines()
        .next()
        .and_then(|line| line.split_once(" CMD "))
        .expect("a command");
    let command: Vec<Value> = serde_json::from_str(command).expect("a list");
    assert_eq!(asked, [&[Value::from("CMD")], &command[..]].concat());
    assert_eq!(command[0], "/chat-room");

    let server = launch(&fargate(), "127.0.0.1:0").start().await;
    let url = server.metrics_url("");
    let address = url.strip_prefix("http://").expect("an address");
    let mut check = launch(&fargate(), address);
    for word in &command[1..] {
        check = check.args(&[word.as_str().expect("a word")]);
    }
    let said = check.run().await;
    assert_eq!(said.code, Some(0), "{said:?}");
}
