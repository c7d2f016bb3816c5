use super::*;
use crate::config::old_keys::{PROMPT_KEYS, PROMPT_PROBES};

/// The new text, and the changes as `line: old > new`.
#[track_caller]
fn migrated(text: &str) -> (String, Vec<String>) {
    let Migrated { text: new, changes } = migrate("t.toml", text).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(parsed(&new), translated(parsed(text)), "another meaning:\n{new}");
    let again = migrate("t.toml", &new).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(again, Migrated { text: new.clone(), changes: Vec::new() }, "a second time changes more");
    let shown = |change: Change| format!("{}: {} > {}", change.line, change.old, change.new);
    (new, changes.into_iter().map(shown).collect())
}

fn parsed(text: &str) -> toml::Table {
    text.parse().unwrap_or_else(|error| panic!("{error}\nin\n{text}"))
}

/// The same rules on the data alone: what the edited text must mean.
fn translated(mut root: toml::Table) -> toml::Table {
    let probes = root.get_mut("probe").and_then(toml::Value::as_array_mut);
    for probe in probes.into_iter().flatten().filter_map(toml::Value::as_table_mut) {
        let kind = probe.get("kind").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        if kind == "cross_checkpoint" {
            if let Some(step) = probe.remove("donor") {
                probe.insert("source_step".to_owned(), step);
            }
        } else if PROMPT_PROBES.contains(&kind.as_str()) {
            let there = probe.remove("prompts").and_then(|prompts| prompts.as_table().cloned());
            let renamed = |key: String| if key == "batch" { "n".to_owned() } else { key };
            let was_there = there.is_some();
            let there = there.unwrap_or_default().into_iter().map(|(key, value)| (renamed(key), value));
            let mut prompts: toml::Table = there.collect();
            prompts.extend(PROMPT_KEYS.iter().filter_map(|(old, new)| Some(((*new).to_owned(), probe.remove(*old)?))));
            if was_there || !prompts.is_empty() {
                probe.insert("prompts".to_owned(), prompts.into());
            }
        }
    }
    root
}

#[test]
fn one_old_key_is_wrapped_where_it_stands() {
    let (text, changes) = migrated("[[probe]]\nkind = \"head_scores\"\nhalf_len = 24  # of nano\nscores = []\n");
    assert_eq!(text, "[[probe]]\nkind = \"head_scores\"\nprompts = { half_len = 24 }  # of nano\nscores = []\n");
    assert_eq!(changes, ["3: half_len > prompts.half_len"]);
}

#[test]
fn several_old_keys_become_one_and_their_comments_stand_above_it() {
    let old = "\
# a
[[probe]]
kind = \"head_scores\"   # k
  batch = 8 # how many
exclude_bos = true # stays
# of the half
  half_len = 0x18 # how long

# last
prepend_bos=false
";
    let new = "\
# a
[[probe]]
kind = \"head_scores\"   # k
  # how many
# of the half
  # how long
# last
  prompts = { n = 8, half_len = 0x18, prepend_bos = false }
exclude_bos = true # stays

";
    let (text, changes) = migrated(old);
    assert_eq!(text, new);
    let moved = ["4: batch > prompts.n", "7: half_len > prompts.half_len", "10: prepend_bos > prompts.prepend_bos"];
    assert_eq!(changes, moved);
}

#[test]
fn values_of_several_lines_are_kept_as_they_are() {
    let list = "[\n  \"a # b\", # first\n  '''c\n# d''',\n]";
    let old = format!("[[probe]]\nkind = 'logit_lens'\nprepend_bos = true\ntexts = {list} # two\n[other]\nbatch = 3\n");
    let prompts = format!("prompts = {{ prepend_bos = true, texts = {list} }}");
    let new = format!("[[probe]]\nkind = 'logit_lens'\n# two\n{prompts}\n[other]\nbatch = 3\n");
    assert_eq!(migrated(&old).0, new);
    // The last line of a text is no comment, whatever it begins with.
    let old = "[[probe]]\nkind = 'token_loss'\nbatch = 1\nname = '''\n# x'''\nhalf_len = 3\n";
    let new = "[[probe]]\nkind = 'token_loss'\nprompts = { n = 1, half_len = 3 }\nname = '''\n# x'''\n";
    assert_eq!(migrated(old).0, new);
}

#[test]
fn the_source_step_is_renamed_in_its_place() {
    let old = "[[probe]]\nkind = \"cross_checkpoint\"\n\"donor\" = 512 # half-way\nbatch = 3\n";
    let (text, changes) = migrated(old);
    assert_eq!(text, "[[probe]]\nkind = \"cross_checkpoint\"\nsource_step = 512 # half-way\nbatch = 3\n");
    assert_eq!(changes, ["3: donor > source_step"]);
}

#[test]
fn inline_tables_are_edited_too() {
    let (text, _) = migrated("probe = [{ kind = 'token_loss', batch = 2 , name = 'x', half_len = 3 }]");
    assert_eq!(text, "probe = [{ kind = 'token_loss', prompts = { n = 2, half_len = 3 } , name = 'x' }]");
    let old =
        "probe = [{\n  kind = 'token_loss',\n  batch = 2, # few,\n  half_len = 3, # short\n  repeats = 3 # r\n}]\n";
    let (text, _) = migrated(old);
    let kept = ["# few,", "# short", "# r", "  prompts = { n = 2, half_len = 3, repeats = 3 }, "];
    assert!(kept.iter().all(|part| text.contains(part)), "{text}");
}

#[test]
fn what_is_not_spelled_in_the_old_way_stays() {
    for text in [
        "",
        "no_probe = 1",
        "[probe]\nkind = 'head_scores'\nbatch = 4\n",
        "probe = 3\n",
        "probe = [1, 2]\n",
        "batch = 8\nprepend_bos = true\n[[probe]]\nkind = 'head_scores'",
        "[[probe]]\nkind = 'ablation'\npairs = { task = 'ioi', n = 8 }\nbatch = 4\ndonor = 5\n",
        "[[probe]]\nbatch = 4\n",
        "[[probe]]\nkind = 'no_such_probe'\nbatch = 4\n",
        "[[probe]]\nkind = 'head_scores'\nprompts = { n = 2,\thalf_len = 3 } # new\r\n",
        "[[probe]]\nkind = 'head_scores'\n[probe.prompts]\nn = 2",
    ] {
        assert_eq!(migrated(text), (text.to_owned(), Vec::new()));
    }
    // These never were right, and are for the reader of experiments to refuse.
    for text in [
        "[[probe]]\nkind = 'token_loss'\ntokens.a = 1\n[probe.batch]\nx = 1\n",
        "[[probe]]\nkind = 'token_loss'\n[[probe.tokens]]\nx = 1\n",
    ] {
        let unchanged = Migrated { text: text.to_owned(), changes: Vec::new() };
        assert_eq!(migrate("t.toml", text).expect("it is TOML"), unchanged);
    }
}

/// Every layout of a probe with these choices means after the migration what it meant before, and keeps every comment.
#[test]
fn every_layout_keeps_its_meaning_and_its_comments() {
    let entries = ["kind = \"token_loss\"", "batch = 2", "name = \"a\"", "half_len\t=3", "repeats = 4"];
    for order in 0..entries.len() {
        for layout in 0..32 {
            let with = |bit: u32| layout >> bit & 1 == 1;
            let line_break = if with(0) { "\r\n" } else { "\n" };
            let mut text = String::from(if with(1) { "\u{feff}" } else { "" });
            text += &format!("seed = 1{line_break}[[probe]]{line_break}");
            let mut comments = 0;
            for at in 0..entries.len() {
                let mut comment = |wanted| {
                    comments += usize::from(wanted);
                    if wanted { format!("# comment {comments}.") } else { String::new() }
                };
                let (above, beside) = (comment(with(2) && at % 2 == 0), comment(with(3)));
                let entry = entries[(order + at * 2) % entries.len()];
                text += &format!("{above}{line_break}  {entry} {beside}{line_break}");
            }
            if with(4) {
                text.truncate(text.trim_end().len());
            }
            let (new, changes) = migrated(&text);
            assert_eq!(changes.len(), 3, "{text}");
            for number in 1..=comments {
                assert!(new.contains(&format!("# comment {number}.")), "{text}\n{new}");
            }
            assert_eq!(new.contains('\r'), with(0), "{text:?}\n{new:?}");
            assert!(!with(0) || new.matches('\n').count() == new.matches("\r\n").count(), "{new:?}");
        }
    }
}

#[test]
fn an_old_key_beside_the_new_one_is_refused_with_its_place() {
    let text = "[[probe]]\nkind = 'head_scores'\nprompts = { half_len = 2 }\nhalf_len = 3\n\
                [[probe]]\nkind = 'cross_checkpoint'\ndonor = 1\nsource_step = 2\n";
    let report = migrate("t.toml", text).expect_err("both spellings").to_string();
    for part in ["`half_len`", "`prompts.half_len`", "t.toml:4:1", "`donor`", "`source_step`", "t.toml:7:1"] {
        assert!(report.contains(part), "{part} is not in\n{report}");
    }
}

#[test]
fn old_keys_join_the_prompts_that_are_there() {
    let head = "[[probe]]\nkind = 'head_scores'\n";
    for (old, new) in [
        ("prompts = { n = 2 } # p\nhalf_len = 3\n", "prompts = { n = 2, half_len = 3 } # p\n"),
        ("half_len = 3 # h\nrepeats = 4\nprompts = {}", " # h\nprompts = { half_len = 3, repeats = 4}"),
        ("prompts.n = 2\nhalf_len = 3", "prompts.n = 2\nprompts.half_len = 3"),
        ("half_len = 3\n[probe.prompts]\nn = 2 # n\n", "[probe.prompts]\nn = 2 # n\nhalf_len = 3\n"),
        ("half_len = 3\r\n[probe.prompts]\r\n", "[probe.prompts]\r\nhalf_len = 3\r\n"),
        ("prompts = { batch = 3 }", "prompts = { n = 3 }"),
        ("prompts.batch = 3\nhalf_len = 2", "prompts.n = 3\nprompts.half_len = 2"),
    ] {
        assert_eq!(migrated(&format!("{head}{old}")).0, format!("{head}{new}"));
    }
    let old =
        "probe = [{ batch = 2, half_len = 3, kind = 'token_loss', prompts = { repeats = 4 }, prepend_bos = true }]";
    let prompts = "prompts = { repeats = 4, n = 2, half_len = 3, prepend_bos = true }";
    let (text, changes) = migrated(old);
    assert!(text.contains(prompts) && changes.len() == 3, "{text}");
}

#[test]
fn prompts_that_are_said_twice_are_refused() {
    for text in [
        "tokens = [[1]]\nbatch = 3\n",
        "texts = ['a']\ntokens = [[1]]\n",
        "prompts = { tokens = [[1]] }\nbatch = 3\n",
        "prompts = { tokens = [[1]], batch = 3 }\n\n",
        "prompts = { n = 3 }\ntokens = [[1]]\n",
    ] {
        let report = migrate("t.toml", &format!("[[probe]]\nkind = 'token_loss'\n{text}")).expect_err(text).to_string();
        assert!(report.contains("`tokens` and `") || report.contains("`texts` and `"), "{report}");
        assert!(report.contains("exclude each other: leave one of them out"), "{report}");
    }
}

#[test]
fn what_is_not_toml_is_shown_where_it_breaks() {
    let report = migrate("t.toml", "seed = 1\nbatch = = 4\n").expect_err("no TOML").to_string();
    assert!(report.contains("t.toml:2:9"), "{report}");
}
