//! A call over HTTP that ends in time, whatever it meets.

use std::sync::Arc;
use std::time::Duration;

use ureq::config::Config;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use crate::interrupt::{Interrupt, Signal, Waited};

/// A call has time limits of its own; one that keeps none of them is left to itself so long after the last.
const GRACE: Duration = Duration::from_secs(5);

/// What a call came to.
#[derive(Debug)]
pub enum Called<T> {
    /// It was answered.
    Answered(T),
    /// It failed. The text of the error may have the address in it.
    Failed(ureq::Error),
    /// It kept no time limit, and was left to itself.
    Endless,
    /// It ended without a word.
    BrokeOff,
    /// The end was asked for.
    Interrupted(Signal),
}

/// Makes a call, which may take so long in all, from the look-up of the name to the last byte. Where it keeps that not, it is left
/// to itself.
///
/// Through whom it is made is the caller's to say: the environment is not looked at here.
pub fn call<T: Send + 'static>(
    timeout: Duration,
    proxy: Option<Proxy>,
    interrupt: &Interrupt,
    act: impl FnOnce(&Agent) -> Result<T, ureq::Error> + Send + 'static,
) -> Called<T> {
    let agent = agent(timeout, proxy);
    match interrupt.wait_for(timeout + GRACE, move || act(&agent)) {
        Waited::Done(Ok(answer)) => Called::Answered(answer),
        Waited::Done(Err(error)) => Called::Failed(error),
        Waited::TooLong => Called::Endless,
        Waited::BrokeOff => Called::BrokeOff,
        Waited::Interrupted(signal) => Called::Interrupted(signal),
    }
}

/// In the text of an error: through whom it was tried to call, if not at once.
pub fn through(proxy: Option<&Proxy>) -> String {
    proxy.map(|proxy| format!(" (through the proxy {}:{})", proxy.host(), proxy.port())).unwrap_or_default()
}

/// A client with the certificates of the system. It follows nobody elsewhere: requests have secrets in them.
fn agent(timeout: Duration, proxy: Option<Proxy>) -> Agent {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).unversioned_rustls_crypto_provider(provider);
    let config = Config::builder()
        .timeout_global(Some(timeout))
        .proxy(proxy)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("qfm/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build());
    config.build().into()
}
