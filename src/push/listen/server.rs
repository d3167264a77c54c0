//! Connections and their answers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use sd_notify::NotifyState;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::jobs::{self, Jobs, is_left};
use super::socket::{Ready, Stream};
use super::{Told, Trouble};
use crate::config::{Environment, Listen, Loaded};
use crate::exit::Status;
use crate::push::job::{Job, JobError};
use crate::push::limit::Limit;
use crate::push::request::{self, Asked};
use crate::push::secret::{Door, opened};
use crate::report::Event;
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

/// What was asked for in vain is told once in so long.
const TELL_EVERY: Duration = Duration::from_secs(60);

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
    /// Who is told what happens under it.
    pub told: Told,
}

impl Rules {
    /// What this configuration says; secrets in files are read, and who is `told` hears of those that are not good.
    ///
    /// # Errors
    /// If there is no configuration file, or a folder cannot be made.
    pub fn new(loaded: &Loaded, told: Told, environment: &Environment) -> Result<Rules, JobError> {
        let (config, file) = (&loaded.config, loaded.file.as_deref());
        let jobs = Jobs::new(config, file, environment)?;
        Ok(Rules { doors: jobs::doors(config, &*told), jobs, settings: config.listen.clone(), told })
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
    /// How many there were since it was told last.
    untold: u64,
    /// When that was.
    told: Option<Instant>,
}

impl Vain {
    /// Counts one. Now and then, how many there were since that was told last: it is to be told now.
    fn count(&mut self, from: Option<IpAddr>, now: Instant) -> Option<u64> {
        if let Some(address) = from {
            self.limit.count(address, now);
        }
        self.untold += 1;
        if self.told.is_some_and(|told| now.duration_since(told) < TELL_EVERY) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
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
            vain: Mutex::new(Vain { limit: Limit::new(rules.settings.rate), untold: 0, told: None }),
            rules: Mutex::new(Arc::new(rules)),
            connected: Mutex::default(),
            expected: Mutex::default(),
        }
    }

    /// The rules that it follows now.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&lock(&self.rules))
    }

    /// Tells whom the rules name.
    pub fn hear(&self, event: &Event<'_>) {
        self.rules().told.hear(event);
    }

    /// Tells of what keeps it from something, and does not end it.
    pub fn failed(&self, error: anyhow::Error) {
        self.hear(&Event::Failed { module: None, error: &error, status: Status::Local });
    }

    /// Tells of a job that cannot be triggered or started.
    fn job_failed(&self, job: &str, what: impl Display) {
        self.hear(&Event::JobFailed { job, what: &format!("job {job} {what}") });
    }

    /// Tells the service manager, if there is one.
    pub fn notify(&self, states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            self.failed(anyhow!("the service manager cannot be told anything: {error}"));
        }
    }

    /// Counts a request in vain, and tells of that now and then: how many there were, and whence the last one came, but nothing of what
    /// it was.
    async fn count_vain(self: &Arc<Server>, from: Option<IpAddr>) {
        let Some(requests) = lock(&self.vain).count(from, Instant::now()) else { return };
        let server = Arc::clone(self);
        // The log may lie on a disk that is busy.
        drop(spawn_blocking(move || server.hear(&Event::InVain { requests, from })).await);
    }

    /// Follows other rules from now on. It goes on listening where it listens, and counts requests in vain anew.
    pub fn follow(self: &Arc<Server>, rules: Rules) {
        lock(&self.vain).limit = Limit::new(rules.settings.rate);
        let before = std::mem::replace(&mut *lock(&self.rules), Arc::new(rules));
        self.hear(&Event::ReadAnew);
        if self.rules().open_nothing() {
            self.failed(Trouble::NoSecret.into());
        }
        if before.settings.address != self.rules().settings.address {
            let what = "listen.address is another now: that counts when the listener is started again";
            self.hear(&Event::Warning(what));
        }
        self.start_left();
    }

    /// Accepts connections until it is dropped, and serves each on a task of its own that holds a place of `places`.
    pub async fn accept(self: Arc<Server>, socket: Ready, places: Arc<Semaphore>) {
        let mut is_told = false;
        loop {
            // It is closed by nobody.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match socket.accept().await {
                Ok((stream, peer)) => {
                    is_told = false;
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
                    // Once, and not ten times a second.
                    if !std::mem::replace(&mut is_told, true) {
                        self.failed(anyhow!("cannot accept a connection: {error}"));
                    }
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
            self.count_vain(stranger).await;
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
            self.count_vain(from).await;
            return reply(StatusCode::NOT_FOUND, "");
        };
        let server = Arc::clone(self);
        // The answer says that the trigger is not lost, so the disk has it before. It may be busy with a run.
        match spawn_blocking(move || server.trigger(&job, from)).await {
            Ok(true) => reply(StatusCode::ACCEPTED, ""),
            Ok(false) | Err(_) => reply(StatusCode::SERVICE_UNAVAILABLE, ""),
        }
    }

    /// Marks a job, and starts it; tells whether it is marked.
    fn trigger(self: &Arc<Server>, name: &str, from: Option<IpAddr>) -> bool {
        let rules = self.rules();
        let Some(job) = rules.jobs.find(name) else { return false };
        if let Err(error) = job.mark(TRIGGER) {
            self.job_failed(name, format_args!("is not marked: {error}"));
            return false;
        }
        let (origin, stage) = (TRIGGER.origin.word(), TRIGGER.stage.word());
        rules.told.hear(&Event::Triggered { job: name, origin, stage, from });
        self.start(job);
        true
    }

    /// Starts the jobs that have a mark that nobody works on.
    pub fn start_left(self: &Arc<Server>) {
        for job in self.rules().jobs.iter().filter(|job| is_left(job)) {
            self.hear(&Event::Resumed { job: job.name() });
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
        let rules = self.rules();
        if is_left(job)
            && let Err(error) = rules.jobs.start(job, &rules.told)
        {
            self.job_failed(job.name(), format_args!("is not started: {error:#}"));
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
                        server.job_failed(name, "does not start; its mark stays for the next trigger");
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

/// What is behind these locks is whole whenever nobody has them.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
