//! Each construct with the value that zsh gives it, and each refusal with its place.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn try_read(bytes: &[u8]) -> Result<Assignments, Vec<Refusal>> {
    let environment = |name: &str| match name {
        "HOME" => Some("/home/me".to_string()),
        "TESTD" => Some("/t".to_string()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    let surroundings = Surroundings {
        environment: &environment,
        before: &BTreeMap::from([("LIST".to_string(), Value::Array(vec!["x".into()]))]),
        associations: &["MAP"],
    };
    read(bytes, &surroundings)
}

fn good(text: &str) -> serde_json::Value {
    let read = try_read(text.as_bytes()).unwrap_or_else(|refusals| panic!("{text}\n{refusals:#?}"));
    read.names.into_iter().map(|(name, assigned)| (name, assigned.value.to_json())).collect()
}

/// The one refusal, as `line:column what | hint`.
fn refused(text: &str) -> String {
    let refusals = try_read(text.as_bytes()).map(|read| read.names).expect_err(text);
    assert_eq!(refusals.len(), 1, "{text}\n{refusals:#?}");
    format!("{} {} | {}", refusals[0].at, refusals[0].what, refusals[0].hint)
}

#[test]
fn words_and_quotes() {
    for (text, value) in [
        ("A=", ""),
        ("A=''", ""),
        ("A=/srv/x", "/srv/x"),
        ("A=a'b c'\"d $B\"e", "ab cd e"),
        ("A='$mdir \\n \"x\"'", "$mdir \\n \"x\""),
        ("A=\"a\\$b \\\"q\\\" \\\\ \\. 'x'\"", "a$b \"q\" \\ \\. 'x'"),
        ("A=a\\ b\\'c", "a b'c"),
        ("A=a\\\nb", "ab"),
        ("A='a\nb'", "a\nb"),
        ("A=\"a\\\nb\"", "ab"),
        ("A=a#b", "a#b"),
        ("A=#b", "#b"),
        ("A=x # comment (with $(things) 'unclosed", "x"),
        ("# first\n\n  A=x;", "x"),
        ("A=$'a\\tb\\'c'", "a\tb'c"),
        ("A=\"\\.iso$\"", "\\.iso$"),
        ("A='(a|b)$'", "(a|b)$"),
        ("A=a{b,c}", "a{b,c}"),
        ("A=é\"ü\"", "éü"),
        ("A=1\nA=2", "2"),
        ("A=\"it's\"", "it's"),
        ("A='it'\\''s'", "it's"),
        ("export A=x", "x"),
        ("typeset -x A=x", "x"),
        ("declare A='x y'", "x y"),
        ("export A; A=x", "x"),
        ("readonly A=x", "x"),
        ("typeset -i A=5", "5"),
        ("A=a; A+=b", "ab"),
        ("A=~/x", "/home/me/x"),
        ("A=h:~/x", "h:/home/me/x"),
        ("A=~", "/home/me"),
        ("A='~/x'", "~/x"),
        ("A=a~b", "a~b"),
        ("export A", ""),
        ("typeset -i A", "0"),
        ("typeset -i A; A=5+3", "8"),
        ("integer A=010", "10"),
        ("integer A=5; A+=3", "8"),
        ("A=5; integer A; A+=1", "6"),
        ("A=(x y); A=z", "z"),
        ("typeset -a A; A=z", "z"),
    ] {
        let value = json!({ "A": value });
        assert_eq!(good(&text.replace("$B", "")), value, "{text}");
    }
}

#[test]
fn parameters() {
    for (text, value) in [
        ("A=$TESTD/x", "/t/x"),
        ("A=${TESTD}x", "/tx"),
        ("A=\"$TESTD/${TESTD}\"", "/t//t"),
        ("A='$TESTD'", "$TESTD"),
        ("A=\\$TESTD", "$TESTD"),
        ("A=${NONE:-a b}", "a b"),
        ("A=\"${NONE:-$TESTD/'q'}\"", "/t/'q'"),
        ("A=${NONE:-'a}b'}", "a}b"),
        ("A=${NONE:-${ALSO:-deep}}", "deep"),
        ("A=${NONE:-~/x}", "/home/me/x"),
        ("A=${NONE-}", ""),
        ("A=${TESTD:-no}", "/t"),
        ("A=$TESTD:/x", "/t:/x"),
        ("A=${TESTD}:h", "/t:h"),
        ("A=$LIST", "x"),
        ("A=\"${LIST[@]}\"", "x"),
        // Quotes within quotes are none of their own, and a backslash also lets a brace be one.
        ("A=\"${NONE:-\\}}\"", "}"),
        ("A=\"${NONE:-\"a b\"}\"", "a b"),
        ("A=\"${NONE:-a\"}\"b}\"", "a}b"),
        ("A=\"${NONE:-\\$y \\\" \\a}\"", "$y \" \\a"),
        ("A=${NONE:-\\$y \\\" \\a}", "$y \" a"),
        ("A=${NONE:-*}", "*"),
        ("A=${NONE:-(a|b);&}", "(a|b);&"),
        ("A=\"${NONE:-~/x}\"", "~/x"),
        ("A=x${NONE:-~/y}", "x/home/me/y"),
        ("A=${NONE:-a:~/x}", "a:/home/me/x"),
        ("A=${EMPTY-no}", ""),
        ("A=${EMPTY:-yes}", "yes"),
        ("unset TESTD; A=x$TESTD", "x"),
        ("unset LIST; A=${LIST-none}", "none"),
    ] {
        assert_eq!(good(text), json!({ "A": value }), "{text}");
    }
    assert_eq!(good("B=/b\nA=$B/c; B=d"), json!({"A": "/b/c", "B": "d"}), "what was assigned before");
    let read = try_read(b"A=$NONE/x").expect("read");
    assert!(read.warnings[0].what.contains("NONE is not set"), "{:?}", read.warnings);
    assert_eq!(read.names["A"].value, Value::Scalar("/x".into()));
}

#[test]
fn arithmetic_is_of_whole_numbers() {
    for (text, value) in [
        ("A=$((60 * 60 * 24)) # a day", "86400"),
        ("A=$((2+3*4))", "14"),
        ("A=$(( (2+3)*4 % 7 - -1 ))", "7"),
        ("A=$((7/-2))", "-3"),
        ("A=x$((1))y", "x1y"),
        ("A=\"$((010))\"", "10"),
        ("A=$((0x10))", "16"),
        ("M=60; A=$((M * $M * ${M})); unset M", "216000"),
    ] {
        assert_eq!(good(text), json!({ "A": value }), "{text}");
    }
    for text in [
        "A=$((1/0))",
        "A=$((1%0))",
        "A=$((9223372036854775807+1))",
        "A=$((1.5))",
        "A=$((2**3))",
        "A=$((NONE))",
        "A=$((1;2))",
        "A=$((i++))",
        "A=$((1+",
        "A=$((TESTD))",
        "A=$((+0x-1))",
    ] {
        assert!(refused(text).starts_with("1:3 "), "{text}: {}", refused(text));
    }
}

#[test]
fn lists_and_associations() {
    for (text, value) in [
        ("A=()", json!([])),
        ("A=(one two)", json!(["one", "two"])),
        ("A=(\n  one # the first\n\n  # nothing\n  'two three'\\\n  \"four\")", json!(["one", "two three", "four"])),
        ("A=(a)\nA+=(b c)\nA+=d", json!(["a", "b", "c", "d"])),
        ("A=x; A+=(y)", json!(["x", "y"])),
        ("A=($NONE '' \"$NONE\" x$NONE)", json!(["", "", "x"])),
        ("A=($TESTD/a ~/b)", json!(["/t/a", "/home/me/b"])),
        ("A=($LIST y)", json!(["x", "y"])),
        ("B=(1 '' 2); A=($B); unset B", json!(["1", "2"])),
        ("B=(1 '' 2); A=(\"${B[@]}\" 3); unset B", json!(["1", "", "2", "3"])),
        ("B=(1 2); A=(\"$B\" a$B); unset B", json!(["1 2", "a1", "2"])),
        ("B=(); A=(\"${B[@]}\" ${B[@]}); unset B", json!([])),
        ("B='a b'; A=($B); unset B", json!(["a b"])),
        ("A=(\"${NONE[@]}\")", json!([""])),
        ("A=(${NONE:-a \"b\" c})", json!(["a b c"])),
        ("A=(${NONE:-} ${NONE:-\"\"} \"${NONE:-}\" \"${NONE:-*}\")", json!(["", "", "*"])),
        ("B=(1 2); A=(${NONE:-$B} \"${NONE:-$B}\"); unset B", json!(["1", "2", "1 2"])),
        ("B=('' 2); A=(x$B 'y'$B $B); unset B", json!(["x", "2", "y", "2", "2"])),
        ("A=(a:~/x ~/x:~/y 'x=~/z')", json!(["a:/home/me/x", "/home/me/x:/home/me/y", "x=~/z"])),
        ("typeset -a A; A=(x)", json!(["x"])),
        ("A=('f*' \"R .~tmp~\" a\\ b --x=y)", json!(["f*", "R .~tmp~", "a b", "--x=y"])),
    ] {
        assert_eq!(good(text), json!({ "A": value }), "{text}");
    }
    for text in [
        "MAP=(k v 'a b' c)",
        "MAP=([k]=v ['a b']=c)",
        "MAP=(\n  [k]=v # one\n  ['a b']=c\n)",
        "typeset -A MAP\nMAP=(k v); MAP+=('a b' c)",
        "MAP[k]=v\nMAP+=('a b' c)",
        "typeset -A MAP=([k]=v ['a b']=c)",
        "MAP=(k '' 'a b' c)\nMAP[k]+=v",
    ] {
        assert_eq!(good(text), json!({"MAP": {"k": "v", "a b": "c"}}), "{text}");
    }
    assert_eq!(good("MAP="), json!({"MAP": {}}));
    assert_eq!(good("declare -A OTHER; OTHER=(a b)"), json!({"OTHER": {"a": "b"}}));
    assert_eq!(good("A=1 B=2; export C=3 D"), json!({"A": "1", "B": "2", "C": "3", "D": ""}));
}

#[test]
fn what_editors_leave_behind_is_passed_over_with_a_warning() {
    let read = try_read(b"\xef\xbb\xbfA=x\r\nB=(a\r\n b)\r\n# caf\xe9\r\nC=y\r").expect("read");
    let values: Vec<_> = read.names.values().map(|assigned| assigned.value.to_json()).collect();
    assert_eq!(values, [json!("x"), json!(["a", "b"]), json!("y")]);
    let said: Vec<_> = read.warnings.iter().map(|warning| warning.what.as_str()).collect();
    assert!(said.len() == 2 && said[0].contains("byte order mark") && said[1].contains("CR LF"), "{said:?}");
}

#[test]
fn all_else_is_refused_with_place_text_and_what_to_write() {
    for (text, at, what, hint) in [
        ("A=1\nB=$(hostname -f) # x", "2:3", "`$(hostname -f)` is a command", "write its result out"),
        ("A=\"x`date`\"", "1:5", "`date` is a command", "write its result out"),
        ("if [[ -f /x ]]; then\n  A=1\nfi", "1:1", "`if [[ -f /x ]]; then` is a condition", "${NAME:-value}"),
        ("[[ -z $A ]] && A=1", "1:1", "is a condition", "${NAME:-value}"),
        ("[ -z \"$A\" ] && A=1", "1:1", "is a condition", "${NAME:-value}"),
        ("for x in a b; do A=$x; done", "1:1", "a loop", "assignments"),
        ("f() {\n A=1\n}", "1:1", "is a function", "assignments"),
        ("function f { A=1 }", "1:1", "a function", "assignments"),
        ("source /etc/x", "1:1", "`source /etc/x` reads another file", "into this one"),
        (". ./x", "1:1", "reads another file", "into this one"),
        ("A=1\n  umask 022", "2:3", "`umask 022` is a command", "only assignments"),
        ("setopt extended_glob", "1:1", "is a command of the shell", "only assignments"),
        ("A = /x", "1:1", "`A = /x` has blanks around `=`", "write A=/x"),
        ("A =/x", "1:1", "blanks around `=`", "write A=/x"),
        ("A= /x", "1:1", "`A= /x` has a blank after `=`", "write A=/x"),
        ("export A = x", "1:8", "blanks around `=`", "write export A=x"),
        ("A=one two", "1:7", "`two` follows after the value of A", "quotes"),
        ("A=foo|bar", "1:6", "bare `|`", "single quotes"),
        ("A=(foo|bar)", "1:7", "bare `|`", "single quotes"),
        ("A=(foo)$", "1:8", "goes on behind `)`", "A='…'"),
        ("A=^(foo)", "1:4", "bare `(`", "single quotes"),
        ("A=x > /y", "1:5", "redirects", "single quotes"),
        ("A=x && B=y", "1:5", "a condition", "each line"),
        ("A=x &", "1:5", "bare `&`", "single quotes"),
        ("A='x", "1:3", "`'x` has no end", "close it"),
        ("A=\"x", "1:3", "has no end", "close it"),
        ("A=(x\n", "1:1", "has no end", "close it"),
        ("A=\\", "1:3", "ends with a backslash", "leave it out"),
        ("A=${X%.*}", "1:3", "`${X%.*}` is not read", "write the value out"),
        ("A=${(U)X}", "1:3", "is not read", "write the value out"),
        ("A=${#X}", "1:3", "is not read", "write the value out"),
        ("A=$X[1]", "1:3", "takes a part", "write the value out"),
        ("A=$TESTD:h", "1:3", "`$TESTD:h` changes", "write ${TESTD}"),
        ("A=$1", "1:3", "shell's own parameters", "write the value out"),
        ("A=$HOST", "1:3", "zsh sets $HOST itself", "write the value out"),
        ("A=\"list-$mdir\"", "1:9", "`$mdir` outside of single quotes", "single quotes"),
        ("A=(*.iso)", "1:4", "an item has a bare `*`", "single quotes"),
        ("A=(a{b,c})", "1:4", "bare `{`", "single quotes"),
        ("A=~you/x", "1:3", "one's own home", "write the path out"),
        ("A=''~/x", "1:5", "one's own home", "quote the `~`"),
        ("A='x:'~/y", "1:7", "one's own home", "quote the `~`"),
        ("A=a:=ls", "1:5", "the path of a program", "single quotes"),
        ("A=(${NONE:-*})", "1:12", "bare `*`", "single quotes"),
        ("A=(${NONE:-(a)})", "1:12", "bare `(`", "single quotes"),
        ("A=(})", "1:4", "bare `}`", "single quotes"),
        ("MAP[\"k\"]=v", "1:5", "the key `\"k\"` has characters", "MAP+=('k' value)"),
        ("MAP['a b']=v", "1:5", "the key `'a b'`", "MAP+=('a b' value)"),
        ("MAP[a b]=v", "1:1", "no assignment to a key", "MAP+=('key' value)"),
        ("MAP=(\n[a b]=v)", "2:1", "`[a b]` has a blank", "['a b']=value"),
        ("typeset -A M; M=x", "1:17", "takes pairs", "M=(key value …)"),
        ("A=(x); typeset A=y", "1:16", "several values", "A=(…)"),
        ("typeset -a A=x", "1:12", "several values", "A=(…)"),
        ("export A+=x", "1:8", "no `+=` is taken behind `export`", "line of its own"),
        ("export A=x B=$A", "1:12", "the value of A on this line", "one assignment on each line"),
        ("export A=x -r B", "1:12", "stands behind a name", "options come first"),
        ("integer A=0x10", "1:11", "plain whole number", "decimal"),
        ("integer A=n", "1:11", "n is not set", "write the number out"),
        ("integer A=(1)", "1:9", "is given a list", "write the number"),
        ("local A=x", "1:1", "declares what is not read", "write NAME=value"),
        ("float A=1.5", "1:1", "declares what is not read", "write NAME=value"),
        ("readonly A=1; unset A", "1:21", "read-only on line 1", "assign it once"),
        ("path=/x", "1:1", "a meaning of its own for the name path", "my_path"),
        ("A=$LOGNAME", "1:3", "zsh sets $LOGNAME itself", "write the value out"),
        ("unset TESTD; A=$((TESTD))", "1:16", "TESTD is not set", "write the number out"),
        ("A=\"l-$mdir\"", "1:6", "`$mdir` outside of single quotes", "'l-$mdir'"),
        ("A=(x i-${mdir})", "1:8", "`$mdir` outside of single quotes", "'i-$mdir'"),
        ("A=[a, b]", "1:7", "`b]` follows", "A=(a b)"),
        ("A = [\"a\", 'b']", "1:1", "blanks around `=`", "write A=(a b)"),
        ("[rsync]", "1:1", "head of a table", "only assignments"),
        ("A=(a\nB=(b)", "1:1", "no end before line 2, where B begins", "close it: A=(one two)"),
        ("A='x\nB='y'", "2:5", "has no end", "or the one of line 1, which goes on to line 2"),
        ("A==ls", "1:3", "the path of a program", "single quotes"),
        ("MAP=(a b c)", "1:10", "the last key has no value", "key value"),
        ("MAP=(a b [c]=d)", "1:6", "without a key", "for all"),
        ("MAP=x", "1:5", "takes pairs", "MAP=(key value …)"),
        ("A=([a]=b)", "1:8", "is given keys", "typeset -A A"),
        ("A[1]=b", "1:1", "a part of a list", "A=(one two)"),
        ("MAP=(a b); A=$MAP", "1:14", "in no certain order", "write the values out"),
        ("readonly A=1\nA=2", "2:1", "read-only on line 1", "assign it once"),
        ("typeset -u A=x", "1:9", "-u", "write NAME=value"),
        ("CHECKIN-HOST=x", "1:1", "has a `-` or `.` in its name", "_"),
        ("A=caf\u{fffd}", "1:6", "not UTF-8", "save the file"),
        ("A='caf\u{fffd}'", "1:7", "not UTF-8", "save the file"),
        ("A=$[1+1]", "1:3", "is not read", "$((…))"),
        ("((A=1))", "1:1", "arithmetic", "$((…))"),
        ("(A=1)", "1:1", "parenthesis", "only assignments"),
        ("{ A=1; }", "1:1", "a group", "only assignments"),
        ("eval A=1", "1:1", "command of the shell", "only assignments"),
    ] {
        let says = refused(text);
        assert!(says.starts_with(&format!("{at} ")) && says.contains(what), "{text}\n  {says}\n  {at} {what}");
        assert!(says.split(" | ").last().is_some_and(|found| found.contains(hint)), "{text}\n  {says}\n  {hint}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let lines = |text: &str| -> Vec<usize> {
        let refusals = try_read(text.as_bytes()).expect_err("refused");
        refusals.iter().map(|refusal| refusal.at.line).collect()
    };
    assert_eq!(lines("A=$(x)\nB=ok\nC=`y`\nD=(*)\n"), [1, 3, 4]);
    assert_eq!(lines("A = x\nB=one two\nsource /x\nC=x|y\nD=${E%x}\nF=/ok\nunknown\n"), [1, 2, 3, 4, 5, 7]);
    // Within a list, and behind it.
    assert_eq!(lines("A=(\n  $(x)\n  ok\n  <y>\n  `z`\n)\nB=$(x) C=`y`\n"), [2, 4, 5, 7, 7]);
    // A condition, a loop, a function are one thing each.
    let block = "if [ -f x ]; then\n  A=$(x)\n  for i in 1 2; do\n    B=$i\n  done\nfi\nC=`x`\n";
    assert_eq!(lines(block), [1, 7]);
    assert_eq!(lines("f() {\n  A=1\n}\nB=$(x)\nfunction g\n{\n  x\n}\nC=$(y)\n"), [1, 4, 5, 9]);
    assert_eq!(lines("if x; then\nA=$(x)\n"), [1], "nobody knows where it ends");
    // What is built upon something that is refused is not refused for that.
    assert_eq!(lines("A=$(x)\nB=$((A + 1))\nMAP=$(x)\nMAP+=(a b)\nC = 5\nD=$((C))\n"), [1, 3, 5]);
    // Behind a quote without an end all may be a part of it.
    assert_eq!(lines("A=$(x)\nB='x\nC=$(y)\n"), [1, 2]);
}

#[test]
fn a_password_is_not_repeated() {
    for text in [
        "CHECKIN_PASSWORD = hunter2",
        "CHECKIN_PASSWORD= hunter2",
        "CHECKIN_PASSWORD=x hunter2",
        "CHECKIN_PASSWORD=hunter2|x",
        "CHECKIN_PASSWORD=(hunter2|x)",
        "CHECKIN_PASSWORD='hunter2",
        "CHECKIN_PASSWORD=\"hunter2$(x)",
        "export CHECKIN_PASSWORD = hunter2",
        "password: hunter2",
        "CHECKIN_PASSWORD=hunter2$(hunter2)",
        "CHECKIN_PASSWORD=(hunter2*)",
    ] {
        let refusals = try_read(text.as_bytes()).expect_err(text);
        assert!(!format!("{refusals:?}").contains("hunter2"), "{text}: {refusals:?}");
    }
}

proptest! {
    /// Whatever the bytes are, they are read or refused.
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(try_read(&bytes));
    }

    /// The same with what shells are made of.
    #[test]
    fn no_signs_make_it_panic(words in prop::collection::vec(
        prop::sample::select(vec![
            "A", "MAP", "=", "+=", "(", ")", "[", "]", "{", "}", "$", "${", "$((", "))", "$(", "`", "'", "\"", "\\", "\n",
            " ", "\t", "#", ";", "&", "|", "<", ">", "~", ":", ":-", "-", "export ", "typeset ", "-A ", "unset ", "if ",
            "é", "\u{fffd}", "\r\n", "1", "*", "@", "[@]", "x", "$'", "=(", "]=",
        ]),
        0..40,
    )) {
        if let Err(refusals) = try_read(words.concat().as_bytes()) {
            prop_assert!(!refusals.is_empty());
            for refusal in refusals {
                prop_assert!(!refusal.what.is_empty() && !refusal.hint.is_empty());
            }
        }
    }

    /// What a shell writes so that it reads it again, is read as it was.
    #[test]
    fn quoted_texts_come_back(text in "[^\u{fffd}\r]*") {
        let single = format!("A='{}'", text.replace('\'', r"'\''"));
        prop_assert_eq!(good(&single), json!({ "A": text }));
        let escaped: String = text.chars().flat_map(|c| match c {
            '$' | '`' | '"' | '\\' => vec!['\\', c],
            c => vec![c],
        }).collect();
        prop_assert_eq!(good(&format!("A=\"{escaped}\"")), json!({ "A": text }));
    }

    /// Sums are those of a calculator.
    #[test]
    fn arithmetic_agrees_with_rust(a in 0i64..9999, b in 1i64..99, c in -99i64..99) {
        let read = good(&format!("A=$(( ({a} + {b}) * {c} - {a} / {b} % {b} ))"));
        prop_assert_eq!(read, json!({ "A": ((a + b) * c - a / b % b).to_string() }));
    }

    #[test]
    fn deep_nesting_ends(depth in 0usize..400) {
        drop(try_read(format!("A={}", "${A:-".repeat(depth)).as_bytes()));
        drop(try_read(format!("A=$(({}1{}))", "(".repeat(depth), ")".repeat(depth)).as_bytes()));
        drop(try_read(format!("A=$(({}1))", "- ".repeat(depth)).as_bytes()));
    }
}
