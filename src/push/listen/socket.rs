//! Where the listener listens: an address of its own, or the sockets that the service manager hands over.

use std::fs::{self, Permissions};
use std::io;
use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use tokio::net;

use super::Trouble;
use crate::config::listen::Address;

/// Who may connect to a Unix socket of our own: user and group.
const MODE: u32 = 0o660;

/// A socket that connections come from.
#[derive(Debug)]
pub enum Socket {
    /// An address and a port.
    Tcp(TcpListener),
    /// A name in the file system; ours to remove, or that of whoever handed the socket over.
    Unix(UnixListener, Option<Name>),
}

/// The name of a Unix socket of our own; it goes with the socket.
#[derive(Debug)]
pub struct Name(PathBuf);

impl Drop for Name {
    fn drop(&mut self) {
        // Whoever took it away meanwhile did the same.
        drop(fs::remove_file(&self.0));
    }
}

/// The sockets that the service manager hands over; where it hands over none, one of our own at this address.
///
/// # Errors
/// What was handed over is no socket that listens, or the address is not to be had.
pub fn sockets(address: &Address) -> Result<Vec<Socket>, Trouble> {
    let mut handed = ListenFd::from_env();
    let bind = |address: &Address| match address {
        Address::Tcp(address) => TcpListener::bind(address).map(Socket::Tcp),
        Address::Unix(path) => bind_unix(path),
    };
    if handed.len() == 0 {
        let socket = bind(address).map_err(|source| Trouble::Bind { address: address.clone(), source })?;
        return Ok(vec![socket]);
    }
    (0..handed.len()).map(|index| take(&mut handed, index).map_err(Trouble::Handed)).collect()
}

fn take(handed: &mut ListenFd, index: usize) -> io::Result<Socket> {
    if let Ok(Some(socket)) = handed.take_tcp_listener(index) {
        return Ok(Socket::Tcp(socket));
    }
    // What is neither is said to be no Unix socket.
    match handed.take_unix_listener(index)? {
        Some(socket) => Ok(Socket::Unix(socket, None)),
        None => Err(io::Error::other("it was taken before")),
    }
}

fn bind_unix(path: &Path) -> io::Result<Socket> {
    let socket = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left(path)? => {
            fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    let name = Name(path.to_owned());
    // Until here nobody but this user could connect: the usual mask lets nobody else write.
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    Ok(Socket::Unix(socket, Some(name)))
}

/// Whether it is a socket that nobody listens at: its listener was killed.
fn is_left(path: &Path) -> io::Result<bool> {
    let is_socket = fs::symlink_metadata(path)?.file_type().is_socket();
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    Ok(is_socket && UnixStream::connect(path).err().is_some_and(refused))
}

/// A socket in the hands of the runtime.
pub enum Ready {
    /// An address and a port.
    Tcp(net::TcpListener),
    /// A name in the file system.
    Unix(net::UnixListener, #[expect(dead_code, reason = "it goes with the socket")] Option<Name>),
}

/// A connection.
pub enum Stream {
    /// From an address.
    Tcp(net::TcpStream),
    /// From somebody on this machine who may open the socket's name.
    Unix(net::UnixStream),
}

impl Socket {
    /// How it is called in a log.
    pub fn name(&self) -> String {
        let name = match self {
            Socket::Tcp(socket) => socket.local_addr().map(|address| address.to_string()).ok(),
            Socket::Unix(socket, _) => socket
                .local_addr()
                .ok()
                .and_then(|address| address.as_pathname().map(|path| format!("unix:{}", path.display()))),
        };
        name.unwrap_or_else(|| "a socket without a name".to_owned())
    }

    /// Hands it to the runtime, which must be at work.
    pub fn ready(self) -> io::Result<Ready> {
        match self {
            Socket::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                Ok(Ready::Tcp(net::TcpListener::from_std(socket)?))
            }
            Socket::Unix(socket, name) => {
                socket.set_nonblocking(true)?;
                Ok(Ready::Unix(net::UnixListener::from_std(socket)?, name))
            }
        }
    }
}

impl Ready {
    /// The next connection, and the address that it comes from, if it has one.
    pub async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Ready::Tcp(socket) => {
                let (stream, from) = socket.accept().await?;
                Ok((Stream::Tcp(stream), Some(from.ip().to_canonical())))
            }
            Ready::Unix(socket, _) => Ok((Stream::Unix(socket.accept().await?.0), None)),
        }
    }
}
