//! A MirrorManager on loopback, that knows one site with one host, and does what it is told by a check-in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use bzip2::read::BzDecoder;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use super::Mirror;
use super::server::{Listening, is_pause, send};

/// How it answers, where that is not what it should do.
#[derive(Clone, Debug)]
pub enum Reply {
    /// With this text, in a good reply.
    Text(&'static str),
    /// With a status, and a page for people.
    Status(u16),
    /// It sends to another address.
    Moved(&'static str),
    /// With this, as the body of a good reply.
    Body(Vec<u8>),
    /// With a part of a good reply, shorter than it says.
    Cut,
    /// With more than anybody wants.
    Huge,
    /// It says nothing, and does not hang up.
    Mute,
    /// It hangs up.
    HangUp,
}

#[derive(Default)]
struct Known {
    /// What it will do instead of what it should, in turn.
    replies: VecDeque<Reply>,
    /// The bodies of requests, as they came.
    bodies: Vec<Vec<u8>>,
    /// What it was told, unpacked.
    told: Vec<Value>,
    /// The heads of requests.
    heads: Vec<String>,
    /// The directories of each category that the host signed up for.
    directories: BTreeMap<String, BTreeSet<String>>,
    is_public: bool,
}

pub struct MirrorManager {
    pub port: u16,
    known: Arc<Mutex<Known>>,
    _listening: Listening,
}

impl MirrorManager {
    pub const SITE: &str = "A \"site\" \\ of ours";
    pub const PASSWORD: &str = "correct-horse \"battery\" \\staple";
    pub const HOST: &str = "mirror.example.org";

    /// It knows a private host that signed up for these categories.
    pub fn start(categories: &[&str]) -> MirrorManager {
        MirrorManager::serve(categories, serve)
    }

    /// The same, behind a certificate of [`MirrorManager::authority`] for `mirrormanager.test` and `127.0.0.1`.
    pub fn start_with_certificate(categories: &[&str]) -> MirrorManager {
        let certificate = CertificateDer::from_pem_slice(include_bytes!("tls/server.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/key.pem")).expect("its key");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(vec![certificate], key));
        let config = Arc::new(config.expect("a server"));
        MirrorManager::serve(categories, move |connection, over, known| {
            let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
            serve(StreamOwned::new(session, connection), over, known);
        })
    }

    fn serve(
        categories: &[&str],
        serve: impl Fn(TcpStream, &AtomicBool, &Mutex<Known>) + Send + Sync + 'static,
    ) -> MirrorManager {
        let directories = categories.iter().map(|name| ((*name).to_owned(), BTreeSet::new())).collect();
        let known = Arc::new(Mutex::new(Known { directories, ..Known::default() }));
        let of_server = Arc::clone(&known);
        let listening = Listening::start(move |connection, over| serve(connection, over, &of_server));
        MirrorManager { port: listening.port, known, _listening: listening }
    }

    /// The file that has the certificate of the authority of this server.
    pub fn authority() -> &'static str {
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/tls/authority.pem")
    }

    /// Lines of a configuration that checks in with it; where the password is, is not in them.
    pub fn settings(&self) -> String {
        format!(
            "checkin.site = {:?}\ncheckin.host = {:?}\ncheckin.endpoint = {:?}\ncheckin.retry_delay = \"10ms\"",
            Self::SITE,
            Self::HOST,
            self.endpoint()
        )
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/xmlrpc", self.port)
    }

    /// The mirror checks in with it from now on.
    pub fn tell_by(&self, mirror: &mut Mirror) {
        let password = mirror.private("checkin-password", &format!("{}\n", Self::PASSWORD));
        mirror.add(&format!("{}\ncheckin.password_file = {password:?}", self.settings()));
    }

    /// From the next request on it does this, in turn, and then what it should again.
    pub fn will(&self, replies: &[Reply]) {
        self.known().replies = replies.iter().cloned().collect();
    }

    /// From now on the host is public.
    pub fn make_public(&self) {
        self.known().is_public = true;
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        self.known().told.len()
    }

    /// What the last request told, unpacked.
    pub fn told(&self) -> Value {
        self.known().told.last().expect("a request").clone()
    }

    /// The last request, as it came.
    pub fn body(&self) -> Vec<u8> {
        self.known().bodies.last().expect("a request").clone()
    }

    /// The first lines of the last request.
    pub fn head(&self) -> String {
        self.known().heads.last().expect("a request").clone()
    }

    /// What it knows of a category.
    pub fn directories(&self, category: &str) -> Vec<String> {
        self.known().directories[category].iter().cloned().collect()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("no thread failed")
    }
}

/// What is in a request.
pub fn unpack(body: &[u8]) -> Value {
    let text = std::str::from_utf8(body).expect("XML is text");
    assert!(text.contains("<methodName>checkin</methodName>"), "{text}");
    let packed = text.split("<string>").nth(1).and_then(|rest| rest.split("</string>").next()).expect("one text");
    let packed = URL_SAFE.decode(packed).expect("url-safe Base64 with padding");
    let mut json = Vec::new();
    BzDecoder::new(&packed[..]).read_to_end(&mut json).expect("bzip2");
    serde_json::from_slice(&json).expect("JSON")
}

fn serve(mut connection: impl Read + Write, over: &AtomicBool, known: &Mutex<Known>) {
    let Some((head, body)) = read(&mut connection, over) else { return };
    let reply = {
        let mut known = known.lock().expect("no thread failed");
        known.told.push(unpack(&body));
        known.bodies.push(body);
        known.heads.push(head);
        known.replies.pop_front()
    };
    let answer = |status: &str, more: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{more}\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let page = b"<html><body>for people</body></html>";
    let bytes = match reply {
        None => answer(
            "200 OK",
            "Content-Type: text/xml\r\n",
            &in_xml(&check_in(&mut known.lock().expect("no thread failed"))),
        ),
        Some(Reply::Text(text)) => answer("200 OK", "", &in_xml(text)),
        Some(Reply::Status(status)) => answer(&format!("{status} Status"), "", page),
        Some(Reply::Moved(to)) => answer("301 Moved", &format!("Location: {to}\r\n"), page),
        Some(Reply::Body(body)) => answer("200 OK", "", &body),
        Some(Reply::Cut) => {
            let whole = answer("200 OK", "", &in_xml("checked in successful"));
            whole[..whole.len() - 40].to_vec()
        }
        Some(Reply::Huge) => answer("200 OK", "", &vec![b' '; 8 << 20]),
        Some(Reply::Mute) => {
            while !over.load(Ordering::Relaxed) && !has_gone(&mut connection) {}
            return;
        }
        Some(Reply::HangUp) => return,
    };
    // Whoever has gone is told nothing.
    drop(send(&mut connection, &bytes, over));
}

fn has_gone(connection: &mut impl Read) -> bool {
    !matches!(connection.read(&mut [0]), Err(error) if is_pause(&error))
}

fn read(connection: &mut impl Read, over: &AtomicBool) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1 << 16];
    while !over.load(Ordering::Relaxed) {
        match connection.read(&mut buffer) {
            Ok(0) => return None,
            Ok(len) => bytes.extend_from_slice(&buffer[..len]),
            Err(error) if is_pause(&error) => continue,
            Err(_) => return None,
        }
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if bytes.len() >= end + 4 + length.expect("a length") {
            return Some((head, bytes.split_off(end + 4)));
        }
    }
    None
}

fn in_xml(text: &str) -> Vec<u8> {
    format!(
        "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><string>{text}</string></value>\n</param>\n\
         </params>\n</methodResponse>\n"
    )
    .into_bytes()
}

/// What the server does with a check-in, and what it says.
fn check_in(known: &mut Known) -> String {
    let told = known.told.last().expect("it just came").clone();
    let enabled = |value: &Value| value["enabled"] == "1";
    assert_eq!(told["version"], 0);
    assert!(told["stats"].is_object());
    assert!(["global", "site", "host"].iter().all(|part| enabled(&told[*part])), "{told}");
    assert!(told["host"].get("user_active").is_none(), "it could switch the host off");
    if told["site"]["name"] != MirrorManager::SITE || told["site"]["password"] != MirrorManager::PASSWORD {
        return "Config file site name or password incorrect.\nerror checking in".to_owned();
    }
    if told["host"]["name"] != MirrorManager::HOST {
        return "Config file host name for site not found.\nerror checking in".to_owned();
    }
    if known.is_public {
        return "Only private mirrors are allowed to use report_mirror.\nerror checking in".to_owned();
    }
    let mut said = String::new();
    for (category, directories) in &mut known.directories {
        let Some(of) = told.get(category.to_lowercase()).filter(|of| enabled(of)) else { continue };
        let now: BTreeSet<String> = of["dirtree"].as_object().expect("a tree").keys().cloned().collect();
        let (added, deleted) = (now.difference(directories).count(), directories.difference(&now).count());
        said += &format!(
            "Category {category} directories updated: {}  added: {added}  deleted {deleted}\n",
            now.len() - added
        );
        *directories = now;
    }
    said + "checked in successful"
}
