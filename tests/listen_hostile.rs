//! What a listener meets in the open: nothing that comes makes it fall, start a job or say what it was.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustix::process::Signal;
use support::listener::*;
use support::*;

const REQUESTS: usize = 10_000;

/// Stands in all that is sent: it must not be found in the log.
const MARK: &str = "HoStIlE";

/// How a request goes out.
enum Sent {
    /// At once, and then it is waited for an answer.
    Whole(Vec<u8>),
    /// At once, and then nobody waits.
    AndGone(Vec<u8>),
    /// At once, and then nothing more comes, and nobody hangs up.
    AndMute(Vec<u8>),
    /// A byte now and then.
    Dripping(Vec<u8>),
    /// At once, and then more and more of the same.
    Endless(Vec<u8>, &'static [u8]),
}

fn noise(chance: &mut Chance, longest: usize) -> Vec<u8> {
    (0..chance.below(longest)).map(|_| chance.below(256) as u8).collect()
}

/// A good request, which would start a job.
fn good(chance: &mut Chance) -> String {
    let job = chance.one_of(&["archive", "releases"]);
    let method = chance.one_of(&["GET", "POST"]);
    match chance.below(2) {
        0 => format!("{method} {} HTTP/1.1\r\nHost: {MARK}\r\n\r\n", path_of(job, SECRET)),
        _ => format!("{method} /trigger HTTP/1.1\r\nHost: {MARK}\r\n{}\r\n\r\n", authorization(job, SECRET)),
    }
}

/// A good request that is spoilt in one place.
fn spoilt(chance: &mut Chance) -> Vec<u8> {
    let request = good(chance);
    let (line, rest) = request.split_once("\r\n").expect("a line");
    let (method, target) = line.strip_suffix(" HTTP/1.1").and_then(|line| line.split_once(' ')).expect("two words");
    let tricks = [
        format!("/{target}"),
        format!("{target}/"),
        format!("{target}?{MARK}"),
        format!("{target}%00"),
        format!("{target}%2e"),
        format!("/%2e{target}"),
        format!("/.{target}"),
        format!("/{MARK}/..{target}"),
        format!("/..{target}"),
        format!("{target}/../trigger/{MARK}"),
        target.replace("/trigger", "//trigger"),
        target.replace("trigger", "%74rigger"),
        target.replace("trigger", "Trigger"),
        target.replace("trigger", "trigger;"),
        target.replace("/trigger", "/./trigger"),
        target.replace("/trigger", "%2ftrigger"),
        target.replace("/trigger", "\\trigger"),
        target.replace("/trigger", "/trigger\0"),
        target.replace("/trigger", "/trigger\t"),
        target.replace("/trigger", "/trigg\u{e9}r"),
        target.replace('/', "/%2F"),
    ];
    let one = match chance.below(10) {
        // The path.
        0..4 => format!("{method} {} HTTP/1.1\r\n{rest}", chance.one_of(&tricks)),
        // The method.
        4 => format!("{} {target} HTTP/1.1\r\n{rest}", chance.one_of(&["HEAD", "PUT", "get", "CONNECT", "G\0ET", ""])),
        // The version.
        5 => format!(
            "{method} {target} {}\r\n{rest}",
            chance.one_of(&["HTTP/3.0", "HTTP/1.1 x", "HTTP/0.9", "\0", "FTP/1.1"])
        ),
        // Headers that contradict each other, or are none.
        6 => {
            let more = [
                "Content-Length: 5\r\nContent-Length: 6",
                "Content-Length: -1",
                "Content-Length: 99999999999999999999999",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
                "Transfer-Encoding: gzip, x",
                "no colon at all",
                ": nothing before it",
                "Spa ce: in its name",
                "Bad: \u{0}\u{1}",
            ];
            format!("{line}\r\n{}\r\n{rest}", chance.one_of(&more))
        }
        // Two authorizations.
        7 => {
            let more = authorization("archive", SECRET);
            format!("{method} /trigger HTTP/1.1\r\n{more}\r\n{more}\r\nHost: {MARK}\r\n\r\n")
        }
        // A broken or wrong authorization.
        8 => {
            let good = authorization("archive", SECRET);
            let wrong = [
                good.replace("Basic ", "Basic"),
                good.replace("Basic ", "Basic !"),
                good.replace("Basic", "Bearer"),
                format!("{good}AAAA"),
                good[..good.len() - 5].to_owned(),
                authorization("archive", &SECRET[1..]),
                authorization("archive", &format!("{SECRET} ")),
                authorization("archive", &format!("{SECRET}\n")),
                authorization("archive\0", SECRET),
                authorization(&format!("archive:{SECRET}"), SECRET),
                authorization("../archive", SECRET),
                authorization("$(touch runs)", MARK),
            ];
            format!("{method} /trigger HTTP/1.1\r\n{}\r\nHost: {MARK}\r\n\r\n", chance.one_of(&wrong))
        }
        // A body that does not come, is too long, or is none.
        _ => {
            let body = [
                "Content-Length: 1000000\r\n\r\nshort".to_owned(),
                "Transfer-Encoding: chunked\r\n\r\nZZ\r\n".to_owned(),
                "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n".to_owned(),
                "Transfer-Encoding: chunked\r\n\r\n5\r\nab".to_owned(),
                format!("Content-Length: 100000\r\n\r\n{}", MARK.repeat(100_000 / MARK.len() + 1)),
            ];
            format!("POST {target} HTTP/1.1\r\nHost: {MARK}\r\n{}", chance.one_of(&body))
        }
    };
    one.into_bytes()
}

/// One of all kinds.
fn request(chance: &mut Chance, number: usize) -> Sent {
    let marked = |bytes: Vec<u8>| [MARK.as_bytes(), &bytes].concat();
    match number % 20 {
        0 | 1 => Sent::Whole(marked(noise(chance, 300))),
        2 => Sent::Whole(format!("GET /{MARK}{} HTTP/1.1\r\n\r\n", "a".repeat(1 << chance.below(18))).into_bytes()),
        3 => {
            Sent::Whole(format!("GET / HTTP/1.1\r\n{MARK}: {}\r\n\r\n", "a".repeat(1 << chance.below(18))).into_bytes())
        }
        4 => {
            let lines: String = (0..100 + chance.below(2000)).map(|i| format!("{MARK}-{i}: x\r\n")).collect();
            Sent::Whole(format!("{}\r\n{lines}\r\n", good(chance).lines().next().expect("a line")).into_bytes())
        }
        // Cut off anywhere before its end.
        5 | 6 => {
            let mut request = good(chance).into_bytes();
            request.truncate(chance.below(request.len() - 2));
            Sent::AndGone(request)
        }
        // One byte of it is another one. In the name of the host that means nothing.
        7 | 8 => {
            let mut request = good(chance).replace(MARK, "").into_bytes();
            let at = chance.below(10);
            request[at] ^= 1 << chance.below(8);
            Sent::Whole(request)
        }
        // Much at once.
        9 => Sent::Whole(format!("GET /{MARK} HTTP/1.1\r\nHost: a\r\n\r\n{}", good(chance).repeat(20)).into_bytes()),
        // Other languages: TLS, HTTP/2, SSH.
        10 => Sent::Whole(
            [
                &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"SSH-2.0-x\r\n",
            ][chance.below(3)]
            .to_owned(),
        ),
        11 if number % 1000 == 11 => Sent::AndMute(good(chance).trim_end().as_bytes().to_owned()),
        11 if number % 1000 == 31 => Sent::Dripping(good(chance).into_bytes()),
        11 if number % 1000 == 51 => {
            Sent::Endless(format!("GET / HTTP/1.1\r\n{MARK}: ").into_bytes(), b"aaaaaaaaaaaaaaaa")
        }
        11 if number % 1000 == 71 => Sent::Endless(
            format!("POST {} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", path_of("archive", SECRET)).into_bytes(),
            b"10\r\n0123456789abcdef\r\n",
        ),
        11 if number % 1000 == 91 => Sent::AndMute(
            format!("POST {} HTTP/1.1\r\nContent-Length: 9\r\n\r\nHo", path_of("archive", SECRET)).into_bytes(),
        ),
        _ => Sent::Whole(spoilt(chance)),
    }
}

/// Sends a request, and takes what comes back, if anything does. A server may hang up whenever it wants.
fn send(address: &str, sent: Sent) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    let mut gone = |bytes: &[u8]| stream.write_all(bytes).is_err();
    match sent {
        Sent::Whole(bytes) => {
            // Nothing more comes, also where more was promised.
            gone(&bytes);
            drop(stream.shutdown(Shutdown::Write));
        }
        Sent::AndGone(bytes) => {
            gone(&bytes);
            return String::new();
        }
        Sent::AndMute(bytes) => {
            gone(&bytes);
        }
        Sent::Dripping(bytes) => {
            for byte in bytes {
                std::thread::sleep(Duration::from_millis(50));
                if gone(&[byte]) {
                    break;
                }
            }
        }
        Sent::Endless(bytes, more) => {
            let mut over = gone(&bytes);
            while !over {
                over = gone(more);
            }
        }
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("it did not hang up in time"),
        // It hung up with something of ours unread.
        Err(_) => {}
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn ten_thousand_hostile_requests_start_nothing_and_leave_no_trace() {
    let yard = Yard::new("listen.rate = 0\nlisten.timeout = \"1s\"");
    let mut listening = yard.listen();
    let address = listening.address.clone();
    let [seed] = seeds(1)[..] else { panic!("one seed") };
    side_by_side(0..REQUESTS, |number| {
        let mut chance = Chance::new(seed.wrapping_add(number as u64));
        chance.note(format_args!("request {number}; seed {seed} for all"));
        let answer = send(&address, request(&mut chance, number));
        chance.note(format_args!("answer {answer:?}"));
        assert!(!answer.contains("HTTP/1.1 202"), "a job was triggered");
        assert!(!answer.contains(MARK) && !answer.contains(SECRET), "{answer}");
    });
    assert!(listening.is_there());
    assert_eq!(listening.status("GET /healthz HTTP/1.1"), 200);
    assert_eq!(yard.runs(), [""; 0]);
    let said = listening.said();
    for line in said.lines() {
        let is_known =
            line.starts_with("qfm: listening on ") || line.ends_with("opened nothing; the last came from 127.0.0.1");
        assert!(is_known, "{line}");
    }
    // After all that it does what it is for.
    assert_eq!(listening.status(&format!("GET {} HTTP/1.1", path_of("archive", SECRET))), 202);
    yard.wait_for_runs(1);
    yard.settle();
    assert!(listening.end(Signal::TERM).success());
}

#[test]
fn who_takes_all_places_of_one_address_is_in_the_way_of_nobody_for_long() {
    let yard = Yard::new("listen.rate = 0\nlisten.timeout = \"2s\"");
    let listening = yard.listen();
    let idle: Vec<TcpStream> = (0..600).map(|_| TcpStream::connect(&listening.address).expect("it listens")).collect();
    // Those beyond the bound are hung up on at once, and all others within their time.
    wait_until("somebody is listened to", || {
        let mut stream = TcpStream::connect(&listening.address).expect("it listens");
        drop(stream.write_all(format!("GET {} HTTP/1.1\r\n\r\n", path_of("archive", SECRET)).as_bytes()));
        let mut answer = String::new();
        stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 202")
    });
    drop(idle);
    yard.wait_for_runs(1);
    yard.settle();
}
