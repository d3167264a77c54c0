//! What MirrorManager answered, and what it means.
//!
//! Good and bad news both come as one text in an XML-RPC reply with status 200. The words are those of mirrormanager2 (`xml_rpc.py` and
//! `lib/hostconfig.py`); they are judged by how they end.

use std::str;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

/// The end of a reply to a check-in that was taken.
const TAKEN: &str = "checked in successful";

/// What the server counted for one category.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The category's name, as the server writes it.
    pub category: String,
    /// The rest of the line: directories updated, added, deleted.
    pub counts: String,
}

impl Counted {
    /// How many of the directories that were sent the server knows, if it says so: those that it updated, and those that it added.
    fn known(&self) -> Option<u64> {
        let number =
            |word: &str| -> Option<u64> { self.counts.split_once(word)?.1.split_whitespace().next()?.parse().ok() };
        number("updated:")?.checked_add(number("added:")?)
    }
}

/// Why a check-in was refused. None of these passes by itself: nothing is gained by trying again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Wrong password, or a site that is not known.
    #[error(
        "the name of the site or its password is wrong: both must be written exactly as in MirrorManager, capitals too"
    )]
    Site,
    /// A host that is not known.
    #[error("the site has no host of that name: it must be written exactly as in MirrorManager, capitals too")]
    Host,
    /// A host that is not private.
    #[error("this host is not marked private in MirrorManager; public mirrors are crawled and need no check-in")]
    Public,
    /// The server did not understand what was sent.
    #[error("MirrorManager does not understand what was sent, which is a bug of one of the two: {0}")]
    Schema(String),
    /// The server took no notice of a category.
    #[error(
        "MirrorManager took no notice of {}: the host has not signed up for it there, or the name is written otherwise",
        .missed.join(", ")
    )]
    Categories {
        /// Those, by name, as they were sent.
        missed: Vec<String>,
        /// What was counted for the others, which were taken.
        counted: Vec<Counted>,
    },
    /// The server knows nothing of what was sent but the top, and so forgot all that it knew below.
    #[error(
        "MirrorManager knows none of the directories that were sent of {}, and leads nobody there now: they are of another category, \
         or begin elsewhere (checkin_category, checkin_prefix)",
        .unknown.join(", ")
    )]
    Directories {
        /// Of these categories, by name, as they were sent.
        unknown: Vec<String>,
        /// What was counted for the others, which were taken.
        counted: Vec<Counted>,
    },
    /// The call failed in the server.
    #[error("MirrorManager could not read what was sent (fault {code}: {text})")]
    Fault {
        /// The number of the fault.
        code: String,
        /// Its text.
        text: String,
    },
    /// Something else.
    #[error("MirrorManager refused: {0}")]
    Other(String),
}

impl Refusal {
    /// What was taken all the same.
    pub fn counted(&self) -> &[Counted] {
        match self {
            Refusal::Categories { counted, .. } | Refusal::Directories { counted, .. } => counted,
            _ => &[],
        }
    }
}

/// What came back is no reply: it is cut off, or somebody else's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReply {
    /// XML is text.
    #[error("it is no UTF-8")]
    Encoding,
    /// It is not well formed.
    #[error("it is no XML: {0}")]
    Xml(String),
    /// Its end is not there.
    #[error("it is cut short")]
    Cut,
    /// It is XML, and neither a text nor a fault of XML-RPC.
    #[error("it is no answer to a call")]
    Foreign,
}

/// An XML-RPC reply with one text.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Text(String),
    Fault { code: String, text: String },
}

/// What a reply means, if `sent` are the names of the categories that were sent: what was counted for each of them.
///
/// # Errors
/// [`NoReply`] if it is none, which may pass; inside, why the check-in was refused, which does not.
pub fn judge(xml: &[u8], sent: &[&str]) -> Result<Result<Vec<Counted>, Refusal>, NoReply> {
    Ok(match answer(xml)? {
        Answer::Fault { code, text } => Err(Refusal::Fault { code, text }),
        Answer::Text(text) if text.trim_end().ends_with(TAKEN) => taken(&text, sent),
        Answer::Text(text) => Err(refusal(&text)),
    })
}

fn taken(text: &str, sent: &[&str]) -> Result<Vec<Counted>, Refusal> {
    let counted = text.lines().filter_map(|line| {
        let (category, counts) = line.strip_prefix("Category ")?.split_once(" directories ")?;
        Some(Counted { category: category.to_owned(), counts: counts.trim().to_owned() })
    });
    // The top is always sent, and always known.
    let (strange, counted): (Vec<Counted>, Vec<Counted>) =
        counted.partition(|line| line.known().is_some_and(|known| known <= 1));
    let is_of =
        |name: &str, lines: &[Counted]| lines.iter().any(|line| line.category.to_lowercase() == name.to_lowercase());
    let those = |wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
        sent.iter().filter(|name| wanted(name)).map(|name| (*name).to_owned()).collect()
    };
    let missed = those(&|name| !is_of(name, &counted) && !is_of(name, &strange));
    let unknown = those(&|name| is_of(name, &strange));
    match (missed.is_empty(), unknown.is_empty()) {
        (true, true) => Ok(counted),
        (false, _) => Err(Refusal::Categories { missed, counted }),
        (true, false) => Err(Refusal::Directories { unknown, counted }),
    }
}

fn refusal(text: &str) -> Refusal {
    let text = text.trim();
    if text.contains("site name or password incorrect") {
        Refusal::Site
    } else if text.contains("host name for site not found") {
        Refusal::Host
    } else if text.contains("Only private mirrors are allowed") {
        Refusal::Public
    } else if text.contains("Invalid config file provided") {
        Refusal::Schema(text.to_owned())
    } else {
        Refusal::Other(text.to_owned())
    }
}

fn answer(xml: &[u8]) -> Result<Answer, NoReply> {
    let broken = |error: quick_xml::Error| NoReply::Xml(error.to_string());
    let mut reader = Reader::from_str(str::from_utf8(xml).map_err(|_| NoReply::Encoding)?);
    let mut open: Vec<String> = Vec::new();
    let mut spoken = String::new();
    // The texts of the values, and for a fault the names of its members too, in turn.
    let mut said: Vec<String> = Vec::new();
    let (mut is_reply, mut is_fault) = (false, false);
    loop {
        match reader.read_event().map_err(broken)? {
            Event::Start(element) => {
                open.push(element.local_name().as_ref().to_owned());
                is_reply |= open == ["methodResponse"];
                is_fault |= open == ["methodResponse", "fault"];
                spoken.clear();
            }
            Event::Text(text) => spoken.push_str(&text),
            Event::CData(text) => spoken.push_str(&text),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().map_err(broken)? {
                Some(character) => spoken.push(character),
                None => spoken.push_str(resolve_predefined_entity(&reference).ok_or(NoReply::Foreign)?),
            },
            Event::Empty(element) if element.local_name().as_ref() == "string" => said.push(String::new()),
            Event::End(_) => {
                let ended = open.pop().unwrap_or_default();
                let is_leaf = matches!(ended.as_str(), "string" | "int" | "i4" | "name" | "value");
                // A value around a typed one has nothing but space left to say.
                if is_leaf && !(ended == "value" && spoken.trim().is_empty()) {
                    said.push(std::mem::take(&mut spoken));
                }
                spoken.clear();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if !open.is_empty() {
        return Err(NoReply::Cut);
    }
    let member = |name: &str| said.iter().position(|said| said == name).and_then(|at| said.get(at + 1)).cloned();
    match (is_reply, is_fault) {
        (true, true) => Ok(Answer::Fault {
            code: member("faultCode").unwrap_or_default(),
            text: member("faultString").unwrap_or_default(),
        }),
        (true, false) => said.into_iter().next().map(Answer::Text).ok_or(NoReply::Foreign),
        _ => Err(NoReply::Foreign),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply(text: &str) -> Vec<u8> {
        let text = quick_xml::escape::escape(text);
        format!(
            "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><string>{text}</string></value>\n</param>\n\
             </params>\n</methodResponse>\n"
        )
        .into_bytes()
    }

    const GOOD: &str = "Category Fedora Linux directories updated: 3  added: 3  deleted 0\n\
                        Category Fedora EPEL directories updated: 2  added: 0  deleted 2\nchecked in successful";

    #[test]
    fn a_check_in_is_good_only_if_each_category_was_counted() {
        let counted = judge(&reply(GOOD), &["fedora linux", "fedora epel"]).unwrap().unwrap();
        assert_eq!(
            counted[0],
            Counted { category: "Fedora Linux".into(), counts: "updated: 3  added: 3  deleted 0".into() }
        );
        assert_eq!(counted.len(), 2);
        let missed = judge(&reply(GOOD), &["fedora linux", "fedora other"]).unwrap().unwrap_err();
        assert_eq!(missed, Refusal::Categories { missed: vec!["fedora other".into()], counted });
        let nothing = judge(&reply("checked in successful"), &["fedora linux"]).unwrap().unwrap_err();
        assert_eq!(nothing, Refusal::Categories { missed: vec!["fedora linux".into()], counted: Vec::new() });
    }

    #[test]
    fn a_check_in_of_directories_that_the_server_does_not_know_is_none() {
        let only_top = GOOD.replace("updated: 3  added: 3", "updated: 1  added: 0");
        let Err(Refusal::Directories { unknown, counted }) =
            judge(&reply(&only_top), &["fedora linux", "fedora epel"]).unwrap()
        else {
            panic!("it is taken");
        };
        assert_eq!(
            (unknown, counted[0].category.as_str(), counted.len()),
            (vec!["fedora linux".into()], "Fedora EPEL", 1)
        );
        let first = GOOD.replace("updated: 3  added: 3", "updated: 0  added: 2");
        assert_eq!(judge(&reply(&first), &["fedora linux", "fedora epel"]).unwrap().unwrap().len(), 2);
        let other = GOOD.replace("updated: 3  added: 3", "good");
        assert_eq!(judge(&reply(&other), &["fedora linux", "fedora epel"]).unwrap().unwrap().len(), 2, "who knows");
    }

    #[test]
    fn known_refusals_are_told_from_each_other() {
        let refused = |text: &str| judge(&reply(text), &["x"]).unwrap().unwrap_err();
        let end = "\nerror checking in";
        assert_eq!(refused(&format!("Config file site name or password incorrect.{end}")), Refusal::Site);
        assert_eq!(refused(&format!("Config file host name for site not found.{end}")), Refusal::Host);
        assert_eq!(refused(&format!("Only private mirrors are allowed to use report_mirror.{end}")), Refusal::Public);
        let schema = "'version' is missing\nInvalid config file provided, please check your report_mirror.conf.error checking in";
        assert_eq!(refused(schema), Refusal::Schema(schema.into()));
        assert_eq!(refused("<odd> & new"), Refusal::Other("<odd> & new".into()));
    }

    #[test]
    fn faults_are_read() {
        let xml = b"<?xml version='1.0'?><methodResponse><fault><value><struct>\
            <member><name>faultCode</name><value><int>1</int></value></member>\
            <member><name>faultString</name><value><string>&lt;class 'OSError'&gt;:Invalid data &#33;</string></value></member>\
            </struct></value></fault></methodResponse>";
        let expected = Refusal::Fault { code: "1".into(), text: "<class 'OSError'>:Invalid data !".into() };
        assert_eq!(judge(xml, &["x"]).unwrap(), Err(expected));
    }

    #[test]
    fn what_is_no_reply_is_none() {
        let whole = reply(GOOD);
        assert_eq!(judge(&whole[..whole.len() - 18], &["x"]), Err(NoReply::Cut));
        assert_eq!(judge(b"<html><body>Request Entity Too Large</body></html>", &["x"]), Err(NoReply::Foreign));
        assert_eq!(judge(b"", &["x"]), Err(NoReply::Foreign));
        assert_eq!(judge(b"\xff", &["x"]), Err(NoReply::Encoding));
        assert!(matches!(judge(b"<a></b>", &["x"]), Err(NoReply::Xml(_))));
    }

    proptest! {
        #[test]
        fn any_text_arrives(text in ".*") {
            // XML reads other ends of lines as line feeds, and has no word for most control characters.
            prop_assume!(!text.contains('\r') && !text.trim().is_empty());
            prop_assert_eq!(answer(&reply(&text)), Ok(Answer::Text(text)));
        }

        #[test]
        fn any_bytes_are_judged_without_panic(bytes: Vec<u8>, at in 0usize..200, byte: u8) {
            drop(judge(&bytes, &["x"]));
            let mut reply = reply(GOOD);
            let at = at % reply.len();
            reply[at] = byte;
            drop(judge(&reply, &["x"]));
        }
    }
}
