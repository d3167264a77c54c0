//! A repository is switched to a new `repomd.xml` only where that is the one of the list; and, with `check_indexes`, where the indexes
//! that it names are here.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;

use qfm::demo::tree::View;
use qfm::exit::Status;
use sha2::{Digest, Sha256};
use support::*;

const ON: &str = "check_indexes = true\nextra_files = []";

/// A repository of two indexes with a hash in their names, at some version; `edit` may change what its `repomd.xml` says.
fn repository(up: &mut Upstream, top: &str, version: &str, edit: impl Fn(String) -> String) -> Built {
    if up.path(top).exists() {
        up.remove(top)?;
    }
    let mut repomd = format!("<repomd xmlns=\"http://linux.duke.edu/metadata/repo\"><revision>{version}</revision>");
    for kind in ["primary", "filelists"] {
        let index = format!("{kind} of {version} in {top}");
        let sum: String = Sha256::digest(&index).iter().map(|byte| format!("{byte:02x}")).collect();
        let path = format!("repodata/{sum}-{kind}.xml");
        repomd.push_str(&format!(
            "<data type=\"{kind}\"><checksum type=\"sha256\">{sum}</checksum><location href=\"{path}\"/></data>"
        ));
        up.file(format!("{top}/{path}"), index)?;
    }
    repomd.push_str("</repomd>");
    up.file(format!("{top}/Packages/a-{version}.rpm"), version)?
        .file(format!("{top}/repodata/repomd.xml"), edit(repomd))?
        .file(format!("{top}/repodata/repomd.xml.asc"), format!("signature of {version}"))?;
    Ok(())
}

/// Two repositories, one of them under two names.
fn both(up: &mut Upstream, version: &str, edit: impl Fn(String) -> String) -> Built {
    repository(up, "fedora/os", version, edit)?;
    repository(up, "fedora/updates", version, |repomd| repomd)?;
    if up.path("archive/os").exists() {
        up.remove("archive/os")?;
    }
    for entry in ["repodata/repomd.xml", "repodata/repomd.xml.asc"] {
        up.hardlink(format!("fedora/updates/{entry}"), format!("archive/os/{entry}"))?;
    }
    let indexes: Vec<_> = fs::read_dir(up.path("fedora/updates/repodata"))?.collect::<Result<_, _>>()?;
    for index in indexes.iter().map(|index| index.file_name()).filter(|name| !name.to_string_lossy().contains("repomd"))
    {
        let name = index.to_string_lossy().into_owned();
        up.hardlink(format!("fedora/updates/repodata/{name}"), format!("archive/os/repodata/{name}"))?;
    }
    Ok(())
}

fn scene() -> Scene {
    scene_with(ON)
}

fn scene_with(lines: &str) -> Scene {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], |up| both(up, "1", |repomd| repomd));
    scene.configure(&[FEDORA, ARCHIVE], lines);
    scene.sync_to_same();
    scene.assert_quiet();
    scene
}

fn revision(scene: &Scene, top: &str) -> String {
    let repodata = scene.mirror.path(top).join("repodata");
    let repomd = fs::read_to_string(repodata.join("repomd.xml")).expect("a repomd.xml");
    let signature = fs::read_to_string(repodata.join("repomd.xml.asc")).expect("a signature");
    let revision = repomd.split("<revision>").nth(1).and_then(|rest| rest.split('<').next()).expect("a revision");
    assert_eq!(signature, format!("signature of {revision}"), "in {top}");
    revision.to_owned()
}

#[test]
fn what_leads_on_takes_its_place_as_ever_with_one_more_call() {
    let mut scene = scene();
    scene.change(|up| both(up, "2", |repomd| repomd));
    scene.sync_to_same();
    let calls = scene.new_calls();
    // Lists, content with the new indexes, pointers beside the tree, pointers into it.
    assert_eq!(calls.len(), 4, "{calls:#?}");
    assert_eq!(calls[2].names(), calls[3].names());
    let link = |path: &str| fs::metadata(scene.mirror.path(path)).expect("it is here").ino();
    assert_eq!(link("fedora/updates/repodata/repomd.xml"), link("archive/os/repodata/repomd.xml"));
    scene.assert_quiet();
    scene.change(|up| up.file("fedora/os/Packages/b.rpm", b"b").map(drop));
    scene.sync_to_same();
    assert_eq!(scene.new_calls().len(), 2, "no pointer changed");
}

/// Something wrong with a `repomd.xml`, and what is said of it.
type Fault = (fn(String) -> String, &'static str);

const FAULTS: [Fault; 4] = [
    (|repomd| repomd.replace("-primary.xml", "-primary.xml.zst"), "-primary.xml.zst is not here"),
    (
        |repomd| {
            let (before, digits) = repomd.split_once("sha256\">").expect("a checksum");
            let other = if digits.starts_with('0') { "1" } else { "0" };
            format!("{before}sha256\">{other}{}", &digits[1..])
        },
        "-primary.xml has another checksum",
    ),
    (|repomd| repomd.replace("</repomd>", ""), "it is cut short"),
    (|repomd| repomd[..repomd.len() / 2].to_owned(), "it is no XML"),
];

#[test]
fn what_does_not_lead_on_leaves_its_repository_as_it_is_and_the_others_go_on() {
    side_by_side(FAULTS, |(fault, said)| {
        let mut scene = scene();
        scene.change(|up| both(up, "2", fault));
        let result = scene.run(&["--allow-delete", &format!("{FEDORA}/nothing")]).status(Status::Partial);
        // The lists were asked for again, and nothing is told twice.
        let told: Vec<&str> = result.stderr.lines().collect();
        assert_eq!(told.len(), 2, "{told:#?}");
        assert!(told[0].contains("nothing would be deleted there"), "{told:#?}");
        let stays = format!("warning: {FEDORA}: os/repodata/repomd.xml stays as it was: ");
        assert!(told[1].contains(&stays) && told[1].contains(said), "{told:#?}");
        assert_eq!(["fedora/os", "fedora/updates", "archive/os"].map(|top| revision(&scene, top)), ["1", "2", "2"]);
        // Clients still follow the old one.
        assert!(scene.mirror.path("fedora/os/Packages/a-1.rpm").exists());
        assert!(!scene.mirror.path("fedora/updates/Packages/a-1.rpm").exists());
        scene.run(&[]).status(Status::Partial);

        scene.change(|up| both(up, "3", |repomd| repomd));
        scene.sync_to_same();
        scene.assert_quiet();
    });
}

#[test]
fn what_the_mirror_does_not_carry_is_not_looked_for() {
    let mut scene = Scene::new(&[FEDORA], |up| repository(up, "fedora/os", "1", |repomd| repomd));
    scene.configure(&[FEDORA], &format!("{ON}\nfilter.exclude = ['re:filelists']"));
    scene.sync();
    assert_eq!(revision(&scene, "fedora/os"), "1");
    scene.assert_quiet();
}

#[test]
fn what_upstream_changed_after_its_list_does_not_lead_clients_astray() {
    for lines in [ON, "extra_files = []"] {
        let mut scene = scene_with(lines);
        scene.change(|up| both(up, "2", |repomd| repomd));
        let commands = scene.stage(|up| both(up, "3", |repomd| repomd));
        let pointers = scene.next_call() + 2;
        scene.wrapper.before(pointers, &commands);
        let repodata = scene.mirror.path("fedora/os/repodata");
        let revisions = scene.mirror.root.with_file_name("revisions");
        let look = format!("grep -o '<revision>.' {}/repomd.xml >> {}", repodata.display(), revisions.display());
        scene.wrapper.after(pointers + 1, &look);
        scene.sync_to_same();
        // The third came when what it names was here, and not with the second's content.
        assert_eq!(fs::read_to_string(revisions).expect("looked"), "<revision>1\n");
        assert_eq!(revision(&scene, "fedora/os"), "3");
        scene.assert_quiet();
    }
}

#[test]
fn restricted_pointers_are_kept_from_others_on_their_way() {
    let mut scene = Scene::new(&[FEDORA], |up| {
        repository(up, "fedora/beta", "1", |repomd| repomd)?;
        up.mode("fedora/beta", 0o750).map(drop)
    });
    scene.configure(&[FEDORA], &format!("{ON}\nrestricted = true"));
    let modes = scene.mirror.root.with_file_name("modes");
    let state = scene.mirror.state.display();
    scene
        .wrapper
        .after(3, &format!("find {state} -path '*work/pointers*' -prune -printf '%m\\n' > {}", modes.display()));
    scene.sync();
    assert_eq!(fs::read_to_string(modes).expect("modes"), "700\n");
    let view = View { restricted: true, contents: true, ..View::PUBLIC };
    assert_same_in(&view, scene.site.upstream.root(), &scene.mirror.root);
}

#[test]
fn a_module_whose_directory_is_a_link_is_switched_too() {
    let mut scene = Scene::new(&[FEDORA], |up| repository(up, "fedora/os", "1", |repomd| repomd));
    scene.configure(&[FEDORA], ON);
    let volume = scene.mirror.root.with_file_name("volume");
    fs::create_dir(&volume).expect("made");
    std::os::unix::fs::symlink(&volume, scene.mirror.path("fedora")).expect("linked");
    scene.sync();
    scene.change(|up| repository(up, "fedora/os", "2", |repomd| repomd));
    scene.sync();
    assert_eq!(revision(&scene, "fedora/os"), "2");
    let view = View { contents: true, ..View::PUBLIC };
    assert_same_in(&view, &scene.site.upstream.path("fedora"), &volume);
}
