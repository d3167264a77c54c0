//! `qfm listen`: triggers over HTTP.
//!
//! A request with the secret of a job marks the job and starts it; it is answered before the job has done anything. Whatever else comes
//! is answered alike, and nothing of it is said: a request may hold a secret, or what somebody wants to see in a log.

mod jobs;
mod server;
mod socket;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use sd_notify::NotifyState;
use tokio::runtime;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::job::JobError;
use crate::config::listen::Address;
use crate::config::{self, Environment, Loaded};
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::report::{Event, Listener};
use server::{MOST_CONNECTIONS, Rules, Server};

/// A wait for a signal, which is begun anew when it is over.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// Why the listener cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// There is no good configuration.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// No job can be triggered.
    #[error("no job has a secret that can be used: `qfm config trigger-url JOB` makes one")]
    NoSecret,
    /// The address is not to be had.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
    /// The service manager handed something over that is no socket to listen at.
    #[error("what the service manager hands over cannot be listened at")]
    Handed(#[source] io::Error),
    /// A job cannot be marked or started.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The system has no more of something.
    #[error("cannot begin to listen")]
    Runtime(#[source] io::Error),
}

/// Who is told what the listener does, from whichever of its threads.
type Told = Arc<dyn Listener + Send + Sync>;

impl Trouble {
    /// Tells of it, of each fault of a configuration by itself.
    fn tell(&self, listener: &dyn Listener) {
        let whats = match self {
            Trouble::Config(error) => error.lines(),
            Trouble::Bind { source, .. } | Trouble::Handed(source) | Trouble::Runtime(source) => {
                vec![format!("{self}: {source}")]
            }
            Trouble::NoSecret | Trouble::Job(_) => vec![self.to_string()],
        };
        for what in whats {
            listener.hear(&Event::Failed { module: None, error: &anyhow!("{what}"), status: self.status() });
        }
    }

    /// How serious it is.
    pub fn status(&self) -> Status {
        match self {
            Trouble::NoSecret | Trouble::Handed(_) => Status::Usage,
            Trouble::Bind { .. } | Trouble::Runtime(_) => Status::Local,
            Trouble::Config(error) => error.status(),
            Trouble::Job(error) => error.status(),
        }
    }
}

/// Listens until the end is asked for. `load` reads the configuration, at the beginning and at each SIGHUP, and has with it who is told
/// what happens under it.
///
/// # Errors
/// Why it could not begin; later nothing ends it but a signal. All but what is wrong with the configuration was told.
pub fn listen(
    load: impl Fn() -> Result<(Loaded, Told), config::Error> + Send + Sync + 'static,
    environment: &Environment,
    interrupt: &Arc<Interrupt>,
) -> Result<(), Trouble> {
    let environment = environment.clone();
    let follow = move |(loaded, told): (Loaded, Told)| Ok(Rules::new(&loaded, told, &environment)?);
    let (loaded, told) = load()?;
    let done = follow((loaded, Arc::clone(&told))).and_then(|rules| serve(rules, move || follow(load()?), interrupt));
    if let Err(trouble) = &done {
        trouble.tell(&*told);
    }
    done
}

/// Listens by these rules, and by those that are read at each SIGHUP.
fn serve(
    rules: Rules,
    read: impl Fn() -> Result<Rules, Trouble> + Send + Sync + 'static,
    interrupt: &Arc<Interrupt>,
) -> Result<(), Trouble> {
    if rules.open_nothing() {
        return Err(Trouble::NoSecret);
    }
    let sockets = socket::sockets(&rules.settings.address)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(Trouble::Runtime)?;
    runtime.block_on(async {
        let hangup = signal(SignalKind::hangup()).map_err(Trouble::Runtime)?;
        let server = Arc::new(Server::new(rules));
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let mut tasks = JoinSet::new();
        if let Some(period) = sd_notify::watchdog_enabled() {
            tasks.spawn(keep_awake(Arc::clone(&server), period / 2));
        }
        let starting = Arc::clone(&server);
        // Before anybody is listened to, whose trigger would be taken for one that is left. What it fails to start it tells.
        drop(spawn_blocking(move || starting.start_left()).await);
        for socket in sockets {
            server.hear(&Event::Listening { at: &socket.name() });
            let socket = socket.ready().map_err(Trouble::Runtime)?;
            tasks.spawn(Arc::clone(&server).accept(socket, Arc::clone(&places)));
        }
        server.notify(&[NotifyState::Ready]);
        tasks.spawn(follow(Arc::clone(&server), hangup, Arc::new(read)));
        let asked = Arc::clone(interrupt);
        drop(spawn_blocking(move || while asked.wait(LONG, || false).is_none() {}).await);
        server.notify(&[NotifyState::Stopping]);
        tasks.shutdown().await;
        // Who is connected gets an answer, or has had the time for it.
        let all = u32::try_from(MOST_CONNECTIONS).unwrap_or(u32::MAX);
        drop(timeout(server.rules().settings.timeout, places.acquire_many(all)).await);
        Ok(())
    })
}

/// Follows the configuration as it is at each SIGHUP. One that is not good changes nothing.
async fn follow(
    server: Arc<Server>,
    mut hangup: unix::Signal,
    read: Arc<impl Fn() -> Result<Rules, Trouble> + Send + Sync + 'static>,
) {
    while hangup.recv().await.is_some() {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => server.notify(&[NotifyState::Reloading, now]),
            Err(error) => server.failed(anyhow!("the clock cannot be read: {error}")),
        }
        let (following, read) = (Arc::clone(&server), Arc::clone(&read));
        // Files may be slow to read.
        let followed = spawn_blocking(move || match read() {
            Ok(rules) => following.follow(rules),
            Err(trouble) => {
                trouble.tell(&*following.rules().told);
                following.failed(anyhow!("the configuration is not read anew: what was read before holds"));
            }
        });
        // What it fails to do it tells.
        drop(followed.await);
        server.notify(&[NotifyState::Ready]);
    }
}

/// Tells the service manager again and again that the runtime is at work.
async fn keep_awake(server: Arc<Server>, every: Duration) {
    loop {
        server.notify(&[NotifyState::Watchdog]);
        sleep(every).await;
    }
}
