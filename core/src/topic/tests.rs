use super::*;
use alloc::format;
use alloc::string::String;
use alloc::vec;

#[test]
fn topics_have_one_form() {
    for good in ["messages", "messages.user.42", "a.b.c.d.e.f.g.h", "A_b-1"] {
        assert!(is_topic(good) && is_pattern(good), "{good}");
    }
    let (long, deep) = ("a".repeat(65), "a.b.c.d.e.f.g.h.i");
    for bad in ["", ".", "a.", ".a", "a..b", "a b", "ä", "a/b", &long, deep] {
        assert!(!is_topic(bad) && !is_pattern(bad), "{bad:?}");
    }
    for pattern in ["*", "**", "a.*", "*.a", "a.**", "*.**", "a.b.c.d.e.f.g.**"] {
        assert!(!is_topic(pattern) && is_pattern(pattern), "{pattern}");
    }
    for bad in ["***", "a**", "**.a", "a.*b", "a.**.b", "*.", ".**", "a.b.c.d.e.f.g.h.**"] {
        assert!(!is_pattern(bad), "{bad:?}");
    }
    let wide = vec!["a".repeat(60); 5].join(".");
    assert!(!is_topic(&wide) && wide.len() > TOPIC_BYTES_MAX);
}

#[test]
fn patterns_stand_for_what_they_say() {
    let yes = [("a.b", "a.b"), ("a.*", "a.b"), ("*.*", "a.b"), ("**", "a"), ("**", "a.b.c")];
    for (pattern, topic) in yes {
        assert!(matches(pattern, topic), "{pattern} {topic}");
    }
    for (pattern, topic) in [("a.**", "a"), ("a.**", "a.b.c"), ("*.b.**", "x.b")] {
        assert!(matches(pattern, topic), "{pattern} {topic}");
    }
    let no = [("a", "b"), ("a", "a.b"), ("a.b", "a"), ("*", "a.b"), ("a.*", "a"), ("a.**", "ab")];
    for (pattern, topic) in no {
        assert!(!matches(pattern, topic), "{pattern} {topic}");
    }
}

/// Every text over a small alphabet of levels.
fn all(levels: &[&str], depth: usize) -> Vec<String> {
    let mut texts: Vec<String> = levels.iter().map(|level| String::from(*level)).collect();
    let mut last = texts.clone();
    for _ in 1..depth {
        last = last.iter().flat_map(|t| levels.iter().map(move |l| format!("{t}.{l}"))).collect();
        texts.extend(last.iter().cloned());
    }
    texts
}

#[test]
fn the_tree_finds_exactly_what_matches() {
    let topics = all(&["a", "b"], 4);
    let mut patterns = all(&["a", "b", "*", "**"], 4);
    patterns.retain(|pattern| is_pattern(pattern));
    let mut tree = TopicTree::default();
    for (who, pattern) in patterns.iter().enumerate() {
        // Each of them asks for two patterns, so that several ways lead to the same one.
        assert!(tree.insert(pattern, who) && !tree.insert(pattern, who));
        tree.insert("a.**", who);
    }
    let expected = |topic: &str, gone: usize| -> Vec<usize> {
        let all = patterns.iter().enumerate().skip(gone);
        let wanted = |pattern: &str| matches(pattern, topic) || matches("a.**", topic);
        all.filter(|(_, pattern)| wanted(pattern)).map(|(who, _)| who).collect()
    };
    let mut found = Vec::new();
    for gone in [0, patterns.len() / 2] {
        for (who, pattern) in patterns.iter().enumerate().take(gone) {
            assert!(tree.remove(pattern, who));
            tree.remove("a.**", who);
            assert!(!tree.remove(pattern, who));
        }
        for topic in &topics {
            found.clear();
            tree.find(topic, &mut found);
            assert_eq!(found, expected(topic, gone), "{topic}");
        }
    }
    for (who, pattern) in patterns.iter().enumerate().skip(patterns.len() / 2) {
        tree.remove(pattern, who);
        tree.remove("a.**", who);
    }
    assert!(tree.is_empty() && tree.root.next.is_empty());
}
