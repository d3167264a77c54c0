//! Connections and their answers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::jobs::{self, Jobs, is_left};
use super::socket::{Ready, Stream};
use super::{Trouble, say};
use crate::config::{Environment, Listen, Loaded, levels};
use crate::plan::words;
use crate::push::job::{Job, JobError};
use crate::push::limit::Limit;
use crate::push::request::{self, Asked};
use crate::push::secret::{Door, opened};
use crate::report::log::Log;
use crate::report::{Event, Listener};
use crate::state::jobs::{Asked as Mark, Origin, Stage};

/// So many connections are served at a time; others wait until one ends.
pub const MOST_CONNECTIONS: usize = 256;

/// So many of them come from one address, unless a proxy is there.
const MOST_OF_ONE: usize = 32;

/// So long may the head of a request be, in bytes.
const LONGEST_HEAD: usize = 16 << 10;

/// So many headers may it have.
const MOST_HEADERS: usize = 64;

/// So long may the body of a request be, in bytes. Nobody reads what is in it.
const LONGEST_BODY: usize = 64 << 10;

/// The wait after a connection could not be accepted: out of descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// What was asked for in vain is said once in so long.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// It is looked so often whether what was started is at work …
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// … and, where it is not, started anew so many times.
const MOST_STARTS: usize = 10;

/// What is asked for over HTTP: a whole run.
const TRIGGER: Mark = Mark { stage: Stage::All, origin: Origin::Http, callback: false };

/// What a configuration says of triggers over HTTP.
pub struct Rules {
    doors: Vec<Door>,
    jobs: Jobs,
    pub settings: Listen,
    /// Where it is written down what was triggered.
    log: Log,
}

impl Rules {
    /// What this configuration says; secrets in files are read.
    ///
    /// # Errors
    /// If there is no configuration file, or a folder cannot be made.
    pub fn new(loaded: &Loaded, environment: &Environment) -> Result<Rules, JobError> {
        let (config, file) = (&loaded.config, loaded.file.as_deref());
        let jobs = Jobs::new(config, file, environment)?;
        let levels = || config.log_levels.clone().unwrap_or_else(|| levels::of_verbosity(1));
        // The journal has it from standard error.
        let log = Log::new(config.log_file.as_deref().map(|path| (path, levels())), None);
        Ok(Rules { doors: jobs::doors(config), jobs, settings: config.listen.clone(), log })
    }

    /// Whether no job can be triggered.
    pub fn open_nothing(&self) -> bool {
        self.doors.is_empty()
    }
}

/// Answers requests.
pub struct Server {
    /// What holds for connections that come now.
    rules: Mutex<Arc<Rules>>,
    vain: Mutex<Vain>,
    /// How many connections there are from each address, but from proxies.
    connected: Mutex<BTreeMap<IpAddr, usize>>,
    /// The jobs that were started and may not be at work yet, with how often they were started anew.
    expected: Mutex<BTreeMap<String, usize>>,
}

/// Requests that opened nothing.
struct Vain {
    limit: Limit,
    /// How many there were since it was said last.
    unsaid: u64,
    /// When that was.
    said: Option<Instant>,
}

impl Vain {
    /// Counts one, and says so now and then: how many, and whence the last one came, but nothing of what it was.
    fn count(&mut self, from: Option<IpAddr>, now: Instant) {
        if let Some(address) = from {
            self.limit.count(address, now);
        }
        self.unsaid += 1;
        if self.said.is_none_or(|said| now.duration_since(said) >= SAY_EVERY) {
            let requests = words::count(self.unsaid, "request", "requests");
            say(format_args!("{requests} opened nothing; the last came {}", whence(from)));
            (self.unsaid, self.said) = (0, Some(now));
        }
    }
}

/// A connection that counts for an address.
struct Connected {
    server: Arc<Server>,
    from: IpAddr,
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut connected = lock(&self.server.connected);
        if let Some(count) = connected.get_mut(&self.from) {
            *count -= 1;
        }
        connected.retain(|_, count| *count > 0);
    }
}

impl Server {
    /// A server that follows these rules.
    pub fn new(rules: Rules) -> Server {
        Server {
            vain: Mutex::new(Vain { limit: Limit::new(rules.settings.rate), unsaid: 0, said: None }),
            rules: Mutex::new(Arc::new(rules)),
            connected: Mutex::default(),
            expected: Mutex::default(),
        }
    }

    /// The rules that it follows now.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&lock(&self.rules))
    }

    /// Follows other rules from now on. It goes on listening where it listens, and counts requests in vain anew.
    pub fn follow(self: &Arc<Server>, rules: Rules) {
        lock(&self.vain).limit = Limit::new(rules.settings.rate);
        let before = std::mem::replace(&mut *lock(&self.rules), Arc::new(rules));
        say("the configuration is read anew");
        if self.rules().open_nothing() {
            say(format_args!("error: {}", Trouble::NoSecret));
        }
        if before.settings.address != self.rules().settings.address {
            say("warning: listen.address is another now: that counts when the listener is started again");
        }
        self.start_left();
    }

    /// Accepts connections until it is dropped, and serves each on a task of its own that holds a place of `places`.
    pub async fn accept(self: Arc<Server>, socket: Ready, places: Arc<Semaphore>) {
        loop {
            // It is closed by nobody.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match socket.accept().await {
                Ok((stream, peer)) => {
                    let server = Arc::clone(&self);
                    tokio::spawn(async move {
                        match stream {
                            Stream::Tcp(stream) => server.serve(stream, peer).await,
                            Stream::Unix(stream) => server.serve(stream, peer).await,
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    say(format_args!("error: cannot accept a connection: {error}"));
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Serves a connection: one request. `peer` is the address at its other end, if it has one.
    async fn serve<S>(self: Arc<Server>, stream: S, peer: Option<IpAddr>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let rules = self.rules();
        let is_proxy = peer.is_none_or(|peer| rules.settings.trusted_proxies.contains(&peer));
        let stranger = peer.filter(|_| !is_proxy);
        let _connected = match stranger.map(|stranger| self.connect(stranger)) {
            None => None,
            Some(Some(connected)) => Some(connected),
            Some(None) => return,
        };
        let answered = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request: Request<Incoming>| {
            let (server, rules, answered) = (Arc::clone(&self), Arc::clone(&rules), Arc::clone(&answered));
            async move {
                let from = if is_proxy { request::forwarded_for(request.headers()) } else { peer };
                let answer = server.answer(&rules, request, from).await;
                answered.store(true, Ordering::Relaxed);
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(rules.settings.timeout)
            .keep_alive(false)
            // Who has said all may close that half, and waits for the answer.
            .half_close(true)
            .max_headers(MOST_HEADERS)
            .max_buf_size(LONGEST_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        // What is wrong with a connection is not said: it could hold what came.
        drop(timeout(rules.settings.timeout, connection).await);
        if !answered.load(Ordering::Relaxed) {
            lock(&self.vain).count(stranger, Instant::now());
        }
    }

    /// Counts a connection; `None` if there are too many from there.
    fn connect(self: &Arc<Server>, from: IpAddr) -> Option<Connected> {
        let mut connected = lock(&self.connected);
        let count = connected.entry(from).or_default();
        if *count >= MOST_OF_ONE {
            return None;
        }
        *count += 1;
        Some(Connected { server: Arc::clone(self), from })
    }

    async fn answer(
        self: &Arc<Server>,
        rules: &Rules,
        request: Request<Incoming>,
        from: Option<IpAddr>,
    ) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let is_whole = Limited::new(body, LONGEST_BODY).collect().await.is_ok();
        let is_spent = || from.is_some_and(|from| lock(&self.vain).limit.is_spent(from, Instant::now()));
        let opened = match request::read(&head) {
            Asked::Health => return reply(StatusCode::OK, "ok\n"),
            Asked::Job(claim) if is_whole && !is_spent() => opened(&rules.doors, &claim),
            _ => None,
        };
        let Some(job) = opened.map(str::to_owned) else {
            lock(&self.vain).count(from, Instant::now());
            return reply(StatusCode::NOT_FOUND, "");
        };
        say(format_args!("job {job} is triggered {}", whence(from)));
        let server = Arc::clone(self);
        // The answer says that the trigger is not lost, so the disk has it before. It may be busy with a run.
        match spawn_blocking(move || server.trigger(&job)).await {
            Ok(true) => reply(StatusCode::ACCEPTED, ""),
            Ok(false) | Err(_) => reply(StatusCode::SERVICE_UNAVAILABLE, ""),
        }
    }

    /// Marks a job, and starts it; tells whether it is marked.
    fn trigger(self: &Arc<Server>, name: &str) -> bool {
        let rules = self.rules();
        let Some(job) = rules.jobs.find(name) else { return false };
        if let Err(error) = job.mark(TRIGGER) {
            say(format_args!("error: job {name} is not marked: {:#}", anyhow::Error::new(error)));
            return false;
        }
        let (origin, stage) = (TRIGGER.origin.word(), TRIGGER.stage.word());
        rules.log.hear(&Event::Triggered { job: name, origin, stage });
        self.start(job);
        true
    }

    /// Starts the jobs that have a mark that nobody works on.
    pub fn start_left(self: &Arc<Server>) {
        for job in self.rules().jobs.iter().filter(|job| is_left(job)) {
            say(format_args!("job {} was triggered before, and is started now", job.name()));
            self.start(job);
        }
    }

    /// Starts a job, unless somebody is at work on it, and expects it to be at work soon.
    fn start(self: &Arc<Server>, job: &Job) {
        self.try_start(job);
        let mut expected = lock(&self.expected);
        let is_first = expected.is_empty();
        expected.insert(job.name().to_owned(), 0);
        if is_first {
            tokio::spawn(Arc::clone(self).look());
        }
    }

    fn try_start(&self, job: &Job) {
        if is_left(job)
            && let Err(error) = self.rules().jobs.start(job)
        {
            say(format_args!("error: job {} is not started: {error:#}", job.name()));
        }
    }

    /// Starts anew what did not get to work. A service manager may take a unit that is about to end for one that is at work.
    async fn look(self: Arc<Server>) {
        loop {
            sleep(LOOK_EVERY).await;
            let server = Arc::clone(&self);
            let looked = spawn_blocking(move || {
                let rules = server.rules();
                let mut expected = lock(&server.expected);
                expected.retain(|name, starts| {
                    let Some(job) = rules.jobs.find(name).filter(|job| is_left(job)) else { return false };
                    if *starts == MOST_STARTS {
                        say(format_args!("error: job {name} does not start; its mark stays for the next trigger"));
                        return false;
                    }
                    *starts += 1;
                    server.try_start(job);
                    true
                });
                expected.is_empty()
            });
            if looked.await.unwrap_or(true) {
                return;
            }
        }
    }
}

fn reply(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

fn whence(from: Option<IpAddr>) -> String {
    from.map_or_else(|| "over a Unix socket or a proxy".to_owned(), |from| format!("from {from}"))
}

/// What is behind these locks is whole whenever nobody has them.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
