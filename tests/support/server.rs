//! Servers that are not what they should be.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

const POLL: Duration = Duration::from_millis(20);

/// A listener on loopback that does something with each connection, until it is dropped.
pub(super) struct Listening {
    pub(super) port: u16,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listening {
    /// Each connection gets a thread, which must end soon when it is over.
    pub(super) fn start(serve: impl Fn(TcpStream, &AtomicBool) + Send + Sync + 'static) -> Listening {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                while !ends.load(Ordering::Relaxed) {
                    if let Ok((connection, _)) = listener.accept() {
                        connection.set_nonblocking(false).expect("a connection");
                        connection.set_read_timeout(Some(POLL)).expect("a connection");
                        connection.set_write_timeout(Some(POLL)).expect("a connection");
                        scope.spawn(|| serve(connection, &ends));
                    }
                    std::thread::sleep(POLL);
                }
            });
        });
        Listening { port, over, thread: Some(thread) }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

/// A server that says things, and never listens.
pub struct Server {
    pub port: u16,
    _listening: Listening,
}

impl Server {
    /// Says `greeting`, and then `drip` again and again, to whoever connects.
    pub fn start(greeting: &'static [u8], drip: &'static [u8]) -> Server {
        let listening = Listening::start(move |mut connection, over| {
            // Whoever has gone is told nothing.
            let mut told = connection.write_all(greeting);
            while told.is_ok() && !over.load(Ordering::Relaxed) {
                std::thread::sleep(POLL);
                told = match connection.write_all(drip) {
                    Err(error) if is_pause(&error) => Ok(()),
                    told => told,
                };
            }
        });
        Server { port: listening.port, _listening: listening }
    }
}

/// How a connection gets stuck.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stall {
    /// Nothing comes any more, and nobody hangs up.
    Freeze,
    /// A few bytes a second.
    Drip,
}

/// Stands between a client and a daemon, until so many bytes of one connection went to the client.
pub struct Proxy {
    pub port: u16,
    _listening: Listening,
}

impl Proxy {
    /// Passes on what comes from the daemon at a port; after so many bytes to one client it gets stuck.
    pub fn start(daemon: u16, sent: usize, stall: Stall) -> Proxy {
        let listening = Listening::start(move |client, over| {
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, daemon)).expect("the daemon answers");
            server.set_read_timeout(Some(POLL)).expect("a connection");
            let left = AtomicUsize::new(sent);
            relay(&client, &server, over, |wanted| {
                let left =
                    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(wanted)));
                match left.expect("it is always updated") {
                    0 => {
                        std::thread::sleep(POLL * 5);
                        usize::from(stall == Stall::Drip)
                    }
                    left => left,
                }
            });
        });
        Proxy { port: listening.port, _listening: listening }
    }
}

/// A proxy for web clients (`CONNECT`), to which all names are this machine's.
pub struct WebProxy {
    pub port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    _listening: Listening,
}

impl WebProxy {
    pub fn start() -> WebProxy {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        let listening = Listening::start(move |mut client, over| {
            let Some(head) = read_head(&mut client, over) else { return };
            let port = head
                .strip_prefix("CONNECT ")
                .and_then(|rest| rest.split_whitespace().next()?.rsplit(':').next()?.parse().ok());
            seen.lock().expect("no thread failed").push(head);
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port.expect("CONNECT with a port")));
            let server = server.expect("somebody answers");
            server.set_read_timeout(Some(POLL)).expect("a connection");
            if send(&mut client, b"HTTP/1.1 200 Connected\r\n\r\n", over).is_ok() {
                relay(&client, &server, over, |_| usize::MAX);
            }
        });
        WebProxy { port: listening.port, heads, _listening: listening }
    }

    /// What it was asked, once for each connection.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no thread failed").clone()
    }
}

/// What comes up to an empty line; nobody sends more before that is answered.
fn read_head(client: &mut TcpStream, over: &AtomicBool) -> Option<String> {
    let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
    while !over.load(Ordering::Relaxed) && !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut buffer) {
            Ok(0) => return None,
            Ok(len) => head.extend_from_slice(&buffer[..len]),
            Err(error) if is_pause(&error) => {}
            Err(_) => return None,
        }
    }
    String::from_utf8(head).ok()
}

/// Passes on what comes from either side, until one hangs up; to the client as much at a time as `may` says.
fn relay(client: &TcpStream, server: &TcpStream, over: &AtomicBool, may: impl Fn(usize) -> usize) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pass(client, server, over, |_| usize::MAX);
            drop(server.shutdown(Shutdown::Write));
        });
        pass(server, client, over, may);
        drop(client.shutdown(Shutdown::Both));
        drop(server.shutdown(Shutdown::Both));
    });
}

/// Passes on what comes, as much at a time as `may` says to what is wanted; until one side hangs up, or it is over.
fn pass(mut from: &TcpStream, mut to: &TcpStream, over: &AtomicBool, may: impl Fn(usize) -> usize) {
    let mut buffer = [0; 4096];
    while !over.load(Ordering::Relaxed) {
        let most = may(buffer.len()).min(buffer.len());
        if most == 0 {
            continue;
        }
        match from.read(&mut buffer[..most]) {
            Ok(0) => return,
            Ok(len) if send(&mut to, &buffer[..len], over).is_err() => return,
            Ok(_) => {}
            Err(error) if is_pause(&error) => {}
            Err(_) => return,
        }
    }
}

pub(super) fn send(to: &mut impl Write, mut bytes: &[u8], over: &AtomicBool) -> io::Result<()> {
    while !bytes.is_empty() && !over.load(Ordering::Relaxed) {
        match to.write(bytes) {
            Ok(len) => bytes = &bytes[len..],
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(super) fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
