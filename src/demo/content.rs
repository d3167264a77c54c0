//! What the demonstration's upstream holds, and what happens to it. Names and bytes are made up.

use sha1::{Digest, Sha1};

use super::upstream::Upstream;

const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];
const WORDS: [&str; 12] =
    ["acl", "boost", "cairo", "dbus", "expat", "fuse", "glib", "httpd", "icu", "jq", "kmod", "libxml"];
const INDEXES: [&str; 3] = ["primary", "filelists", "other"];

const UPDATES: &str = "fedora/linux/updates/43/Everything/x86_64";
const TESTING: &str = "fedora/linux/updates/testing/43/Everything/x86_64";
const ARCHIVED: &str = "archive/fedora/linux/updates/43/Everything/x86_64";

/// What upstream did, in packages.
#[derive(Clone, Copy, Debug)]
pub struct Changes {
    /// New ones.
    pub added: usize,
    /// Those that are gone.
    pub removed: usize,
    /// Those that have another place now.
    pub moved: usize,
    /// Those that have one more name, in the other module.
    pub linked: usize,
    /// Repositories with new metadata.
    pub repositories: usize,
}

/// The first version: two modules, `fedora` and `archive`, with hard links across them.
pub fn build(upstream: &mut Upstream) -> anyhow::Result<()> {
    for release in ["42", "43"] {
        let top = format!("fedora/linux/releases/{release}/Everything");
        let [first, second] = ARCHITECTURES;
        for number in 0..60 {
            // Every second package is the same for all architectures, and there once.
            let shared = number % 2 == 0;
            let name = package(number, 1, release, if shared { "noarch" } else { first });
            let file = format!("{top}/{first}/os/{name}");
            upstream.file(&file, noise(&file, 4_000 + number * 400))?;
            let other =
                format!("{top}/{second}/os/{}", package(number, 1, release, if shared { "noarch" } else { second }));
            if shared {
                upstream.hardlink(&file, &other)?;
            } else {
                upstream.file(&other, noise(&other, 4_000 + number * 400))?;
            }
            if release == "42" {
                upstream.hardlink(&file, file.replacen("fedora/", "archive/fedora/", 1))?;
            }
        }
        for architecture in ARCHITECTURES {
            renew_metadata(upstream, &format!("{top}/{architecture}/os"), 1)?;
        }
        let image = format!("{top}/{first}/os/images/boot.iso");
        upstream.file(&image, noise(&image, 1_500_000))?;
    }
    for (top, packages) in [(UPDATES, 0..40), (TESTING, 40..52)] {
        for number in packages {
            let file = format!("{top}/{}", package(number, 2, "43", "x86_64"));
            upstream.file(&file, noise(&file, 9_000))?;
        }
        renew_metadata(upstream, top, 1)?;
    }
    for release in ["40", "41"] {
        for number in 0..60 {
            let file = format!(
                "archive/fedora/linux/releases/{release}/Everything/x86_64/os/{}",
                package(number, 1, release, "x86_64")
            );
            upstream.file(&file, noise(&file, 6_000))?;
        }
    }
    upstream.link("fedora/linux/releases/latest", "43")?.link("archive/fedora/linux/releases/oldest", "40")?;

    // Staged for mirrors, not public yet.
    let beta = "fedora/linux/releases/test/44_Beta";
    for number in 0..20 {
        let file = format!("{beta}/Everything/x86_64/os/{}", package(number, 1, "44", "x86_64"));
        upstream.file(&file, noise(&file, 5_000))?;
    }
    upstream.mode(beta, 0o750)?.publish()?;
    Ok(())
}

/// An ordinary day: packages come, go, move and get further names, and metadata is renewed.
pub fn change(upstream: &mut Upstream) -> anyhow::Result<Changes> {
    let changes = Changes { added: 9, removed: 5, moved: 6, linked: 10, repositories: 2 };
    for number in 0..changes.added {
        let file = format!("{UPDATES}/{}", package(number, 3, "43", "x86_64"));
        upstream.file(&file, noise(&file, 9_000))?;
    }
    for number in 0..changes.removed {
        upstream.remove(format!("{UPDATES}/{}", package(number, 2, "43", "x86_64")))?;
    }
    for number in 40..40 + changes.moved {
        let name = package(number, 2, "43", "x86_64");
        upstream.rename(format!("{TESTING}/{name}"), format!("{UPDATES}/{name}"))?;
    }
    for number in 10..10 + changes.linked {
        let name = package(number, 2, "43", "x86_64");
        upstream.hardlink(format!("{UPDATES}/{name}"), format!("{ARCHIVED}/{name}"))?;
    }
    for top in [UPDATES, TESTING] {
        renew_metadata(upstream, top, 2)?;
    }
    upstream.publish()?;
    Ok(changes)
}

/// A disk of upstream's was not mounted when it made its list: the module `archive` is almost empty.
pub fn lose(upstream: &mut Upstream) -> anyhow::Result<()> {
    upstream.remove("archive/fedora/linux/releases")?.publish()?;
    Ok(())
}

/// Where a package lies in its repository.
fn package(number: usize, version: usize, release: &str, architecture: &str) -> String {
    let word = WORDS[number % WORDS.len()];
    format!("Packages/{}/{word}{number}-{version}.0-1.fc{release}.{architecture}.rpm", &word[..1])
}

/// The SHA-1 of some bytes, in hexadecimal digits.
pub(super) fn checksum(bytes: &[u8]) -> String {
    Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Gives a repository new indexes, whose names tell their content, and the file that names them.
fn renew_metadata(upstream: &mut Upstream, repository: &str, version: usize) -> anyhow::Result<()> {
    let repodata = format!("{repository}/repodata");
    if version > 1 {
        upstream.remove(&repodata)?;
    }
    let mut index = String::from("<repomd>\n");
    for kind in INDEXES {
        let bytes = noise(&format!("{repodata}/{kind}/{version}"), 3_000);
        let sum = checksum(&bytes);
        let name = format!("repodata/{sum}-{kind}.xml.gz");
        upstream.file(format!("{repository}/{name}"), bytes)?;
        index.push_str(&format!("  <data type=\"{kind}\"><location href=\"{name}\"/></data>\n"));
    }
    index.push_str("</repomd>\n");
    upstream.file(format!("{repodata}/repomd.xml"), index)?;
    Ok(())
}

/// Bytes that do not compress, the same for the same name (a xorshift generator).
fn noise(name: &str, length: usize) -> Vec<u8> {
    let mut state = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
        | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
