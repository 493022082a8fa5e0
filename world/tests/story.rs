//! The stories of hand-made runs, against golden files, and of random ones.
//!
//! `WAKEFUL_BLESS=1 cargo test -p wakeful-world --test story` writes the golden files anew: read their difference.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use wakeful::sim::{ChoiceKind, Endpoint, Record, What};
use wakeful_world::story::{Story, LINES};

const WORLD: u32 = Record::WORLD;
const HOSTS: [&str; 3] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];

fn at(micros: u64, host: u32, what: What) -> Record {
    Record { time: Duration::from_micros(micros), host, what }
}

fn ip(address: &str) -> Endpoint {
    Endpoint::Ip(address.parse::<SocketAddr>().expect("an address"))
}

/// A client and two servers: a short read, a cut link, a lost message, a reset, a refusal, a panic.
fn partition() -> Vec<Record> {
    let (server, client) = (ip("10.0.0.1:80"), ip("10.0.0.2:49152"));
    let (other, to_other) = (ip("10.0.0.3:80"), ip("10.0.0.2:49153"));
    let sent = |message, bytes| What::Sent { message, from: client, to: server, bytes };
    let arrived = |message, bytes| What::Arrived { message, from: client, to: server, bytes };
    let back = |message, bytes| What::Sent { message, from: server, to: client, bytes };
    let back_arrived = |message, bytes| What::Arrived { message, from: server, to: client, bytes };
    let read = |bytes, waiting| What::Read { from: server, to: client, bytes, waiting };
    let mut records = vec![
        at(0, 0, What::HostStarted),
        at(0, 1, What::HostStarted),
        at(0, 2, What::HostStarted),
        at(0, 0, What::Turn { task: 0 }),
        at(10, 0, What::Listen { at: server }),
        at(12, 2, What::Listen { at: other }),
        at(20, 1, What::Connect { from: client, to: server }),
        at(520, 0, What::Accepted { from: client, to: server }),
        at(1020, 1, What::Connected { from: client, to: server }),
    ];
    for message in 0..5 {
        let time = 1_100 + 1_000 * message;
        records.push(at(time, 1, What::Wrote { from: client, to: server, bytes: 8, wanted: 8 }));
        records.push(at(time, 1, sent(2 * message, 8)));
        records.push(at(time + 500, 0, arrived(2 * message, 8)));
        records.push(at(time + 500, 0, What::Read { from: client, to: server, bytes: 8, waiting: 8 }));
        records.push(at(time + 510, 0, back(2 * message + 1, 8)));
        records.push(at(time + 900, 1, back_arrived(2 * message + 1, 8)));
        match message {
            3 => {
                records.push(at(time + 910, 1, What::Fault { kind: ChoiceKind::Short }));
                records.push(at(time + 910, 1, read(3, 8)));
                records.push(at(time + 950, 1, read(5, 5)));
            }
            _ => records.push(at(time + 910, 1, read(8, 8))),
        }
    }
    records.extend([
        at(7_000, WORLD, What::Note("the <script>alert(\"x & y\")</script>\n  begins".into())),
        at(8_000, WORLD, What::LinkCut { a: 0, b: 1 }),
        at(8_000, WORLD, What::LinkCut { a: 1, b: 0 }),
        at(8_100, 1, What::Wrote { from: client, to: server, bytes: 8, wanted: 8 }),
        at(8_100, 1, sent(20, 8)),
        at(8_300, 1, What::Lost { message: 20, from: client, to: server }),
        at(8_400, 0, What::HostPaused),
        at(8_900, 0, What::HostResumed),
        at(9_000, 1, What::Slept { length: Duration::from_secs(2) }),
        at(2_009_000, 1, What::Reset { from: client, to: server }),
        at(2_009_500, 1, What::Connect { from: to_other, to: other }),
        at(2_010_000, 2, What::HostCrashed),
        at(2_010_400, 1, What::Refused { from: to_other, to: other }),
        at(2_010_500, WORLD, What::LinkHealed { a: 0, b: 1 }),
        at(2_010_550, WORLD, What::LinkHealed { a: 1, b: 0 }),
        at(2_010_600, 0, back(21, 100)),
        at(2_010_700, 1, What::HostPanicked("assertion `left == right` failed\n  left: 4\n right: 5".into())),
    ]);
    records
}

/// An hour of five hosts with names, traffic without end, an interrupted call of each, and a broken invariant.
fn crowd() -> (Vec<String>, Vec<Record>) {
    let names = ["a", "b", "c", "d", "a host with a very long name"].map(String::from).to_vec();
    let end = |host: u64| ip(&format!("10.0.0.{}:{}", host + 1, 7_000));
    let mut records = Vec::new();
    for host in 0..5 {
        records.push(at(0, host, What::HostStarted));
        records.push(at(5, host, What::Listen { at: end(host.into()) }));
    }
    for message in 0..600 {
        let (one, other) = (message % 5, (message + 1 + message % 3) % 5);
        let (from, to, bytes) = (end(one), end(other), 10 + message % 7);
        let time = message * 6_000_000;
        records.push(at(time, one as u32, What::Sent { message, from, to, bytes }));
        if message % 40 == 17 {
            records.push(at(time + 10, one as u32, What::Fault { kind: ChoiceKind::Interrupted }));
        }
        records.push(at(time + 1_000, other as u32, What::Arrived { message, from, to, bytes }));
        records.push(at(time + 1_001, other as u32, What::Read { from, to, bytes, waiting: bytes }));
    }
    records.push(at(3_600_000_000, WORLD, What::Failed("two leaders in term 7".into())));
    (names, records)
}

fn is_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/story").join(name);
    if std::env::var_os("WAKEFUL_BLESS").is_some() {
        std::fs::write(&path, text).expect("a golden file");
    }
    let golden = std::fs::read_to_string(&path).expect("a golden file").replace('\r', "");
    assert!(golden == text, "{name} differs; this is the story now:\n{text}");
}

#[test]
fn a_partition_as_text() {
    let records = partition();
    let story = Story::new("seed 17", &HOSTS, &records);
    is_golden("partition.txt", &story.text(LINES));
    is_golden("partition-5.txt", &story.text(5));
    is_golden("partition-16.txt", &story.text(16));
    is_golden("partition-100.txt", &story.text(100));
}

#[test]
fn a_partition_as_a_page() {
    let records = partition();
    is_golden("partition.html", &Story::new("seed 17: <10.0.0.2> panics", &HOSTS, &records).html());
}

#[test]
fn a_crowd_in_twelve_lines() {
    let (names, records) = crowd();
    is_golden("crowd.txt", &Story::new("seed 3", &names, &records).text(LINES));
}

/// The page of a hostile program: no tag and no attribute of its texts is one.
#[test]
fn names_and_notes_are_escaped() {
    let evil = "<script src='//x'>\"&</script><img onerror=\"x\">";
    let records = [
        at(0, 0, What::HostStarted),
        at(1, 0, What::Note(evil.into())),
        at(1, 0, What::LinkCut { a: 0, b: 1 }),
        at(2, 0, What::Sent { message: 1, from: ip("10.0.0.1:1"), to: ip("10.0.0.2:1"), bytes: 1 }),
        at(3, 1, What::Arrived { message: 1, from: ip("10.0.0.1:1"), to: ip("10.0.0.2:1"), bytes: 1 }),
        at(4, 0, What::HostPanicked(evil.into())),
    ];
    let page = Story::new(evil, &[evil, evil], &records).html();
    assert_eq!(page.matches("<script").count() + page.matches("<img").count(), 0);
    assert!(page.matches("&lt;script src=&#39;//x&#39;&gt;&quot;&amp;&lt;/script&gt;").count() > 10);
    assert!(!page.contains(evil));
    for foreign in ["http:", "https:", "url(", "@import", "<link", "javascript:"] {
        assert!(!page.contains(foreign), "the page has {foreign}");
    }
}

#[test]
fn nothing_happened_is_a_story_too() {
    let story = Story::new("seed 0", &HOSTS, &[]);
    assert_eq!(story.text(LINES), "");
    assert!(story.html().contains("10.0.0.3"));
    let records = partition();
    assert_eq!(Story::new("", &HOSTS, &records).text(0), "");
    // Without names.
    let story = Story::new("", &[""; 0], &records);
    assert!(story.text(LINES).contains("host 1 panics"));
    assert!(story.html().contains("host 1 panics"));
}

/// What follows the failure is no part of its story.
#[test]
fn the_aftermath_is_left_out() {
    let mut records = partition();
    let story = Story::new("", &HOSTS, &records).text(LINES);
    let (one, other) = (ip("10.0.0.2:49152"), ip("10.0.0.1:80"));
    records.push(at(2_010_800, 1, What::Reset { from: one, to: other }));
    records.push(at(2_010_900, 1, What::HostEnded));
    assert_eq!(Story::new("", &HOSTS, &records).text(LINES), story);
}

/// A thousand notes hide neither the one cut long before them nor the failing host's last acts.
#[test]
fn the_latest_of_each_kind_comes_first() {
    let (from, to) = (ip("10.0.0.2:49152"), ip("10.0.0.1:80"));
    let mut records = vec![
        at(1, WORLD, What::LinkCut { a: 0, b: 2 }),
        at(2, 1, What::Wrote { from, to, bytes: 3, wanted: 3 }),
        at(2, 1, What::Sent { message: 1, from, to, bytes: 3 }),
    ];
    records.extend((0..1_000).map(|number| at(10 + number, 0, What::Note(format!("note {number}")))));
    records.push(at(2_000, 1, What::Failed("no answer".into())));
    let expected = "\
0.001 ms  the link from 10.0.0.1 to 10.0.0.3 is cut
0.002 ms  10.0.0.2 writes 3 bytes to 10.0.0.1:80
1.008 ms  10.0.0.1 notes: note 998
1.009 ms  10.0.0.1 notes: note 999
2.000 ms  10.0.0.2 fails: no answer
";
    let story = Story::new("", &HOSTS, &records);
    assert_eq!(story.text(5), expected);
    assert!(story.text(4).starts_with(expected.split_once("1.008").unwrap().0));
    assert!(story.text(12).contains("10.0.0.1 notes: note 991\n"));
}

/// A loopback address belongs to the host that uses it, a name stands for an address, and a datagram is an act though
/// no write comes with it.
#[test]
fn addresses_belong_to_hosts() {
    let (one, other) = (ip("127.0.0.1:1000"), ip("127.0.0.1:2000"));
    let (from, to) = (ip("10.0.0.1:53"), ip("[fd00::2]:53"));
    let records = [
        at(0, 1, What::Listen { at: to }),
        at(1, 0, What::Sent { message: 1, from: one, to: other, bytes: 4 }),
        at(2, 1, What::Sent { message: 2, from: one, to: other, bytes: 1 }),
        at(3, 1, What::Sent { message: 3, from: to, to: from, bytes: 1 }),
        at(4, 0, What::Wrote { from, to, bytes: 2, wanted: 2 }),
        at(4, 0, What::Sent { message: 4, from, to, bytes: 2 }),
        at(5, 0, What::Sent { message: 5, from, to, bytes: 6 }),
        at(6, 0, What::Sent { message: 6, from, to, bytes: 7 }),
        at(7, 0, What::HostPanicked("no answer".into())),
    ];
    let expected = "\
0.000 ms  db listens at [fd00::2]:53
0.001 ms  (3 messages between 10.0.0.1 and db, 6 bytes)
0.004 ms  10.0.0.1 writes 2 bytes to db:53
0.005 ms  10.0.0.1 sends 6 bytes to db:53
0.006 ms  10.0.0.1 sends 7 bytes to db:53
0.007 ms  10.0.0.1 panics: no answer
";
    assert_eq!(Story::new("", &["10.0.0.1", "db"], &records).text(LINES), expected);
    let expected = "\
0.002 ms  (1 message within db, 1 byte)
0.003 ms  10.0.0.1 crashes
";
    let records = [records[2].clone(), at(3, 0, What::HostCrashed)];
    assert_eq!(Story::new("", &["10.0.0.1", "db"], &records).text(LINES), expected);
    let records = [records[0].clone(), at(3, 1, What::HostCrashed)];
    let expected = expected.replace("(1 message within db, 1 byte)", "db sends 1 byte to 127.0.0.1:2000");
    let expected = expected.replace("10.0.0.1 crashes", "db crashes");
    assert_eq!(Story::new("", &["10.0.0.1", "db"], &records).text(LINES), expected);
}

/// What repeats is one line: the same in words at once, other numbers only if they are many.
#[test]
fn repetitions_are_one_line() {
    let (from, to) = (ip("10.0.0.1:80"), ip("10.0.0.2:49152"));
    let text = |reads: &[u64]| {
        let read = |(time, bytes)| at(time, 1, What::Read { from, to, bytes, waiting: 8 });
        let mut records: Vec<Record> = (1..).zip(reads.iter().copied()).map(read).collect();
        records.push(at(9, 0, What::HostCrashed));
        Story::new("", &HOSTS, &records).text(LINES).replace("0.009 ms  10.0.0.1 crashes\n", "")
    };
    let first = "0.001 ms  10.0.0.2 reads 3 of 8 bytes from 10.0.0.1:80";
    assert_eq!(text(&[3]), format!("{first}\n"));
    assert_eq!(text(&[3, 3]), format!("{first}, and once more at 0.002 ms\n"));
    assert_eq!(text(&[3, 3, 3]), format!("{first}, and 2 times more until 0.003 ms\n"));
    let second = "0.002 ms  10.0.0.2 reads 4 of 8 bytes from 10.0.0.1:80";
    assert_eq!(text(&[3, 4]), format!("{first}\n{second}\n"));
    assert_eq!(text(&[3, 4, 3]).lines().count(), 3);
    assert_eq!(text(&[3, 4, 3, 5]), format!("{first}, and 3 more of this kind until 0.004 ms\n"));
}

/// Links that are cut together are one line, and both ways between two hosts one link.
#[test]
fn links_that_are_cut_together_are_one_line() {
    let cut = |(a, b)| at(1_000, WORLD, What::LinkCut { a, b });
    let text = |links: &[(u32, u32)]| {
        let mut records: Vec<Record> = links.iter().copied().map(cut).collect();
        records.push(at(2_000, WORLD, What::LinkHealed { a: 0, b: 1 }));
        records.push(at(3_000, 0, What::HostCrashed));
        let text = Story::new("", &HOSTS, &records).text(LINES);
        assert!(text.contains("2.000 ms  the link from 10.0.0.1 to 10.0.0.2 is healed\n"), "{text}");
        text.lines().next().expect("a line").to_owned()
    };
    assert_eq!(text(&[(0, 1), (1, 0)]), "1.000 ms  the link 10.0.0.1 - 10.0.0.2 is cut");
    assert_eq!(text(&[(2, 0)]), "1.000 ms  the link from 10.0.0.3 to 10.0.0.1 is cut");
    let several =
        "1.000 ms  the links 10.0.0.1 - 10.0.0.2, from 10.0.0.1 to 10.0.0.3 and 10.0.0.2 - 10.0.0.3 are cut";
    assert_eq!(text(&[(0, 1), (0, 2), (1, 0), (1, 2), (2, 1)]), several);
    let many: Vec<_> = (0..5).flat_map(|a| [(a, 5), (5, a)]).collect();
    assert_eq!(text(&many), "1.000 ms  5 links between 6 hosts are cut");
}

/// Any record at any place.
fn random_run(random: &mut fastrand::Rng) -> Vec<Record> {
    let ends = [ip("10.0.0.1:80"), ip("10.0.0.2:81"), ip("10.0.0.3:82"), ip("[::1]:9"), Endpoint::Unix(7)];
    let (count, mut time) = (random.usize(0..80), 0);
    let record = |message| {
        time += random.u64(0..3) * random.u64(0..1_000);
        let (from, to) = (ends[random.usize(..5)], ends[random.usize(..5)]);
        let (bytes, more) = (random.u64(..9), random.u64(..9));
        let message = match random.bool() {
            true => message,
            false => random.u64(..=message),
        };
        let what = match random.u8(..22) {
            0 => What::HostStarted,
            1 => What::HostEnded,
            2 => What::HostCrashed,
            3 => What::HostRestarted,
            4 => What::HostPaused,
            5 => What::HostResumed,
            6 => What::Listen { at: from },
            7 => What::Connect { from, to },
            8 => What::Connected { from, to },
            9 => What::Refused { from, to },
            10 => What::Accepted { from, to },
            11 => What::Arrived { message, from, to, bytes },
            12 => What::Lost { message, from, to },
            13 => What::Read { from, to, bytes, waiting: bytes + more },
            // Of no message, which a line about the write would stand for.
            14 => What::Wrote { from: Endpoint::Unix(8), to, bytes, wanted: bytes + more },
            15 => What::EndOfStream { from, to },
            16 => What::Reset { from, to },
            17 => What::LinkCut { a: random.u32(..4), b: random.u32(..4) },
            18 => What::LinkHealed { a: random.u32(..4), b: random.u32(..4) },
            19 => What::Fault { kind: ChoiceKind::ALL[random.usize(..ChoiceKind::ALL.len())] },
            20 => What::Note(format!("note {}", random.u8(..5))),
            _ => What::Sent { message, from, to, bytes },
        };
        let host = [0, 1, 2, 3, WORLD][random.usize(..5)];
        at(time, host, what)
    };
    let mut records: Vec<Record> = (0..count as u64).map(record).collect();
    if random.bool() {
        records.push(at(90_000, 1, What::HostPanicked("the end".into())));
    }
    records
}

#[test]
fn any_run_has_a_story() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let records = random_run(&mut random);
        let story = Story::new("any", &HOSTS, &records);
        let most = random.usize(0..30);
        let text = story.text(most);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() <= most, "seed {seed}: more than {most} lines:\n{text}");
        assert_eq!(lines.is_empty(), records.is_empty() || most == 0, "seed {seed}");
        if let (Some(last), Some(What::HostPanicked(_))) =
            (lines.last(), records.last().map(|record| &record.what))
        {
            assert!(last.ends_with("10.0.0.2 panics: the end"), "seed {seed}:\n{text}");
        }
        let time =
            |line: &&str| line.trim_start().split(' ').next().and_then(|time| time.parse::<f64>().ok());
        let times: Vec<f64> = lines.iter().map(|line| time(line).expect("a time")).collect();
        assert!(times.windows(2).all(|pair| pair[0] <= pair[1]), "seed {seed}:\n{text}");

        // With space for everything, no event is missing, and each message is in a line or counted in a summary.
        let whole = story.text(1_000);
        assert!(!whole.contains("other event"), "seed {seed}:\n{whole}");
        let count = |line: &str| match line.split_once("  (") {
            Some((_, words)) => {
                words.split(' ').next().and_then(|count| count.parse().ok()).expect("a count")
            }
            None => {
                let more = line.split_once(", and ").map(|(_, more)| more.split(' ').next().unwrap());
                let more = more.map_or(0, |more| more.parse::<usize>().unwrap_or(1));
                usize::from(line.contains(" sends ") && !line.contains(" sends no more ")) * (1 + more)
            }
        };
        let sent = records.iter().filter(|record| matches!(record.what, What::Sent { .. })).count();
        assert_eq!(whole.lines().map(count).sum::<usize>(), sent, "seed {seed}:\n{whole}");

        let page = story.html();
        for tag in ["g", "svg", "title", "text", "pre", "h1", "style", "html", "body", "p"] {
            let (begin, end) = (format!("<{tag}"), format!("</{tag}>"));
            let begins = page
                .match_indices(&begin)
                .filter(|(at, _)| page[at + begin.len()..].starts_with([' ', '>', '\n']));
            assert_eq!(begins.count(), page.matches(&end).count(), "seed {seed}: {tag}");
        }
    }
}

/// The page of a run with very many records shows the end of it.
#[test]
fn a_long_run_has_a_short_page() {
    let note = |number: u64| at(number, 0, What::Note(format!("note {number}")));
    let records: Vec<Record> = (0..100_000).map(note).collect();
    let story = Story::new("long", &HOSTS, &records);
    let page = story.html();
    assert!(page.contains("The first 90000 records are left out.") && page.contains("note 99999"));
    assert!(!page.contains(">10.0.0.1 notes: note 89999<"));
    assert_eq!(story.text(LINES).lines().count(), LINES);
}
