//! The hands: one call of MirrorManager, again where the trouble may pass.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use backon::BackoffBuilder;
use ureq::http::header::{CONTENT_TYPE, LOCATION};
use ureq::{Agent, Proxy};

use super::reply::{self, Counted, Refusal};
use crate::http::{self, Called};
use crate::interrupt::{Interrupt, Signal};

/// What is read of a reply. A true one has a line for each category.
const LONGEST_REPLY: u64 = 1 << 20;

/// The longest wait before a retry.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How MirrorManager is called.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its address, `http://` or `https://`.
    pub endpoint: String,
    /// Through whom it is called, if not at once.
    pub proxy: Option<Proxy>,
    /// One call may take so long, from the look-up of the name to the last byte of the reply.
    pub timeout: Duration,
    /// How often a call is tried again.
    pub retries: usize,
    /// The wait before the first retry; it doubles with each.
    pub retry_delay: Duration,
}

/// Why a check-in did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It was refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No call had an answer that counts.
    #[error("{endpoint} did not answer as MirrorManager does, after {retries} retries: {why}")]
    NoAnswer {
        /// Who was called.
        endpoint: String,
        /// How often again.
        retries: usize,
        /// What was wrong the last time.
        why: String,
    },
    /// The end was asked for.
    #[error("interrupted")]
    Interrupted(Signal),
}

/// What one call came to.
enum Outcome {
    /// It was answered.
    Answer(Result<Vec<Counted>, Refusal>),
    /// Another try may do better.
    Hitch(String),
    /// The end was asked for.
    Interrupted(Signal),
}

/// Sends a request that names these categories, and tells what was counted for each of them. `retrying` hears of trouble that may
/// pass, and of the wait before the next try.
///
/// # Errors
/// Why it did not succeed. No text that comes back has anything of the request in it but names.
pub fn send(
    line: &Line,
    request: &Arc<[u8]>,
    categories: &[&str],
    interrupt: &Interrupt,
    retrying: &mut dyn FnMut(&str, Duration),
) -> Result<Vec<Counted>, Trouble> {
    let mut waits = backon::ExponentialBuilder::default()
        .with_min_delay(line.retry_delay)
        .with_max_delay(LONGEST_WAIT.max(line.retry_delay))
        .with_max_times(line.retries)
        .with_jitter()
        .build();
    loop {
        let why = match call(line, request, categories, interrupt) {
            Outcome::Answer(answer) => return Ok(answer?),
            Outcome::Interrupted(signal) => return Err(Trouble::Interrupted(signal)),
            Outcome::Hitch(why) => why,
        };
        let Some(wait) = waits.next() else {
            return Err(Trouble::NoAnswer { endpoint: line.endpoint.clone(), retries: line.retries, why });
        };
        retrying(&why, wait);
        if let Some(signal) = interrupt.wait(wait, || false) {
            return Err(Trouble::Interrupted(signal));
        }
    }
}

/// One call.
fn call(line: &Line, request: &Arc<[u8]>, categories: &[&str], interrupt: &Interrupt) -> Outcome {
    let (of_call, request) = (line.clone(), Arc::clone(request));
    match http::call(line.timeout, line.proxy.clone(), interrupt, move |agent| post(agent, &of_call, &request)) {
        Called::Answered(response) => judge(response, categories),
        Called::Failed(error) => Outcome::Hitch(what_failed(&error, line.proxy.as_ref())),
        Called::BrokeOff => Outcome::Hitch("the call broke off".to_owned()),
        Called::Endless => Outcome::Hitch("the call kept no time limit".to_owned()),
        Called::Interrupted(signal) => Outcome::Interrupted(signal),
    }
}

/// What came back.
struct Response {
    status: u16,
    location: Option<String>,
    body: Vec<u8>,
}

fn post(agent: &Agent, line: &Line, request: &[u8]) -> Result<Response, ureq::Error> {
    let mut response = agent.post(&line.endpoint).header(CONTENT_TYPE, "text/xml").send(request)?;
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok()).map(str::to_owned);
    let status = response.status().as_u16();
    // Of what is no reply, nobody reads the body.
    let body =
        if status == 200 { response.body_mut().with_config().limit(LONGEST_REPLY).read_to_vec()? } else { Vec::new() };
    Ok(Response { status, location, body })
}

fn judge(Response { status, location, body }: Response, categories: &[&str]) -> Outcome {
    let refused = |why: String| Outcome::Answer(Err(Refusal::Other(why)));
    match status {
        200 => match reply::judge(&body, categories) {
            Ok(answer) => Outcome::Answer(answer),
            Err(error) => Outcome::Hitch(format!("what came back is no reply: {error}")),
        },
        413 => refused("what was sent is too large for the server (413)".to_owned()),
        300..400 => {
            let to = location.map(|to| format!(" to {}", to.escape_debug())).unwrap_or_default();
            refused(format!("it moved{to} ({status}); set checkin.endpoint"))
        }
        500.. => Outcome::Hitch(format!("the server failed ({status})")),
        _ => refused(format!("the server answers with status {status}; is checkin.endpoint right?")),
    }
}

fn what_failed(error: &ureq::Error, proxy: Option<&Proxy>) -> String {
    let why = match error {
        ureq::Error::Timeout(_) => "it took too long (checkin.timeout)".to_owned(),
        ureq::Error::BodyExceedsLimit(_) => "what came back is too large for a reply".to_owned(),
        ureq::Error::HostNotFound => "its name cannot be looked up".to_owned(),
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => "the connection broke off".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    };
    why + &http::through(proxy)
}
