use clap::Parser;

use crate::args::{Args, loopback};
use crate::choices::Encoding;

fn parsed(line: &str) -> Args {
    Args::try_parse_from(line.split(' ')).expect("it can be asked for")
}

#[test]
fn only_loopback_is_loaded() {
    assert!(loopback("http://127.0.0.1:8080/").is_ok());
    for elsewhere in [
        "http://192.0.2.1:80",
        "http://example.com",
        "127.0.0.1",
        "[::1]:80",
    ] {
        assert!(loopback(elsewhere).is_err(), "{elsewhere}");
    }
}

#[test]
fn many_connections_have_several_source_addresses() {
    assert_eq!(parsed("load --viewers 18000").source_addresses(), 0);
    assert_eq!(parsed("load --viewers 50000").source_addresses(), 3);
    assert_eq!(
        parsed("load --viewers 100 --sources 2").source_addresses(),
        2
    );
}

#[test]
fn compression_means_chat_room_v1() {
    assert_eq!(parsed("load --compression").encoding(), Encoding::V1);
    assert_eq!(parsed("load").encoding(), Encoding::Plain);
}

#[test]
fn peers_are_compared_in_three_rounds() {
    assert_eq!(parsed("load --against bun,write").rounds(), 3);
    assert_eq!(parsed("load").rounds(), 1);
}
