//! Settings through the front door: layers, sources, messages.

use std::fs;

use super::*;

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn load(flags: Pairs<'_>, file: Option<&str>, env: Pairs<'_>) -> Result<Settings, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat-room.toml");
    if let Some(text) = file {
        fs::write(&path, text).unwrap();
    }
    let owned = |pairs: Pairs<'_>| -> Vec<(String, String)> {
        let own = |(key, text): &(&str, &str)| ((*key).to_owned(), (*text).to_owned());
        pairs.iter().map(own).collect()
    };
    let env = owned(env).into_iter().map(|(k, v)| (k.into(), v.into()));
    Settings::load(owned(flags), file.map(|_| &*path), env).map_err(|error| {
        let folder = folder.path().to_string_lossy().into_owned();
        error.to_string().replace(&folder, "DIR")
    })
}

#[test]
fn without_anything_the_defaults_hold() {
    let settings = load(&[], None, &[]).unwrap();
    assert_eq!(settings.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(settings.metrics_listen, None);
    assert_eq!(settings.kinesis, Kinesis::Embedded);
    assert_eq!(settings.start, Start::TrimHorizon);
    assert_eq!(settings.log_memory, 256 << 20);
    assert_eq!(settings.max_body, 16 << 10);
    assert_eq!(settings.resume_window, Duration::from_mins(2));
    assert!(settings.workers >= 1);
    assert!(settings.allowed_origins.is_empty());
}

#[test]
fn a_flag_beats_the_environment_and_that_the_file() {
    let file = "history = 1\nmax-rooms = 2\nstream = \"three\"\n";
    let env = [("CHAT_ROOM_HISTORY", "10"), ("CHAT_ROOM_MAX_ROOMS", "20")];
    let settings = load(&[("history", "100")], Some(file), &env).unwrap();
    assert_eq!(settings.history, 100);
    assert_eq!(settings.max_rooms, 20);
    assert_eq!(settings.stream, "three");
}

#[test]
fn the_environment_can_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.toml");
    fs::write(&path, "history = 7").unwrap();
    let env = [(OsString::from("CHAT_ROOM_CONFIG"), path.into_os_string())];
    assert_eq!(Settings::load([], None, env).unwrap().history, 7);
}

#[test]
fn aws_has_its_own_start() {
    let settings = load(&[("kinesis", "aws"), ("region", "eu-central-1")], None, &[]).unwrap();
    assert_eq!(settings.start, Start::Ago(Duration::from_mins(15)));
}

#[test]
fn a_list_is_an_array_or_has_commas() {
    let wanted: Vec<http::Origin> = ["https://a.example", "http://b.example:81"]
        .map(|origin| origin.parse().unwrap())
        .into();
    let file = "allowed-origins = [\"https://a.example\", \"http://b.example:81\"]";
    let settings = load(&[], Some(file), &[]).unwrap();
    assert_eq!(settings.allowed_origins, wanted);
    let flags = [(
        "allowed-origins",
        "https://A.example:443, http://b.example:81",
    )];
    let settings = load(&flags, None, &[]).unwrap();
    assert_eq!(settings.allowed_origins, wanted);
}

#[test]
fn a_name_that_looks_like_a_number_stays_a_name() {
    let settings = load(&[], None, &[("CHAT_ROOM_STREAM", "1.10")]).unwrap();
    assert_eq!(settings.stream, "1.10");
}

#[test]
fn a_bad_value_is_named_with_its_key_and_its_source() {
    let cases: &[(Pairs<'_>, Option<&str>, Pairs<'_>, &str)] = &[
        (
            &[],
            None,
            &[("CHAT_ROOM_HISTORY", "lots")],
            "setting \"history\": \"lots\" is not a whole number \
             (from environment variable CHAT_ROOM_HISTORY)",
        ),
        (
            &[("drain", "soon")],
            None,
            &[],
            "setting \"drain\": \"soon\" is not a duration such as 500ms, 5s or 2m \
             (from flag --drain)",
        ),
        (
            &[],
            Some("history = 1.5"),
            &[],
            "setting \"history\": \"1.5\" is not a whole number (from file DIR/chat-room.toml)",
        ),
        (
            &[],
            Some("listen = { port = 5 }"),
            &[],
            "setting \"listen\": \"{…}\" is not a single value (from file DIR/chat-room.toml)",
        ),
        (
            &[("allowed-origins", "https://a.example,b")],
            None,
            &[],
            "setting \"allowed-origins\": \"b\" is not an origin such as https://event.example \
             (from flag --allowed-origins)",
        ),
    ];
    for (flags, file, env, message) in cases {
        assert_eq!(load(flags, *file, env).unwrap_err(), *message);
    }
}

#[test]
fn an_unknown_key_is_named_with_its_source() {
    assert_eq!(
        load(&[], Some("log_memory = \"1MiB\""), &[]).unwrap_err(),
        "there is no setting \"log_memory\", but \"log-memory\" (from file DIR/chat-room.toml)"
    );
    assert_eq!(
        load(&[], Some("[server]\nlisten = \"x\""), &[]).unwrap_err(),
        "there is no setting \"server\" (from file DIR/chat-room.toml)"
    );
    assert_eq!(
        load(&[], None, &[("CHAT_ROOM_PROT", "1")]).unwrap_err(),
        "there is no setting \"prot\" (from environment variable CHAT_ROOM_PROT)"
    );
}

#[test]
fn what_kubernetes_says_about_a_service_is_no_setting() {
    let env = [
        ("CHAT_ROOM_SERVICE_HOST", "10.0.0.1"),
        ("CHAT_ROOM_SERVICE_PORT_HTTP", "80"),
        ("CHAT_ROOM_PORT", "tcp://10.0.0.1:80"),
        ("CHAT_ROOM_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("PATH", "/bin"),
    ];
    assert!(load(&[], None, &env).is_ok());
}

#[test]
fn a_file_that_is_no_toml_or_not_there_is_named() {
    let error = load(&[], Some("history = = 1"), &[]).unwrap_err();
    assert!(
        error.starts_with("settings file DIR/chat-room.toml: "),
        "{error}"
    );
    let missing = Path::new("/nowhere/chat-room.toml");
    let error = Settings::load([], Some(missing), [])
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("settings file /nowhere/chat-room.toml: "),
        "{error}"
    );
}

#[test]
fn settings_that_exclude_each_other_are_refused() {
    assert_eq!(
        load(&[("region", "eu-central-1")], None, &[]).unwrap_err(),
        "setting \"region\" means nothing to the embedded stream: set \"kinesis\" to aws \
         (from flag --region)"
    );
    let flags = [("kinesis", "aws"), ("embedded-listen", "127.0.0.1:0")];
    assert_eq!(
        load(&flags, None, &[]).unwrap_err(),
        "setting \"embedded-listen\" means nothing to AWS: set \"kinesis\" to embedded \
         (from flag --embedded-listen)"
    );
    let flags = [("kinesis", "aws"), ("embedded-faults", "faults.toml")];
    assert_eq!(
        load(&flags, None, &[]).unwrap_err(),
        "setting \"embedded-faults\" means nothing to AWS: set \"kinesis\" to embedded \
         (from flag --embedded-faults)"
    );
    let flags = [("embedded-tls-cert", "a"), ("embedded-listen", "[::1]:0")];
    assert_eq!(
        load(&flags, None, &[]).unwrap_err(),
        "setting \"embedded-tls-cert\" needs \"embedded-tls-key\" (from flag --embedded-tls-cert)"
    );
    let flags = [("embedded-tls-cert", "a"), ("embedded-tls-key", "b")];
    assert!(load(&flags, None, &[]).is_err());
    let flags = [("lag-limit", "2MiB"), ("log-memory", "1MiB")];
    assert!(load(&flags, None, &[]).is_err());
}

#[test]
fn every_setting_of_the_table_can_be_set_and_is_read() {
    // A value that no setting takes must be refused for each: so each is read.
    for setting in SETTINGS {
        let refused = load(&[(setting.key, "\u{7}=?")], None, &[]);
        assert!(refused.is_err(), "{} is not read", setting.key);
    }
}
