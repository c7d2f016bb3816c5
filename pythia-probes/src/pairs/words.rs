//! Common words for the generators. At run time each list is cut down to what the model's tokenizer has as single
//! tokens.
//!
//! Changing, adding or reordering a word changes the pairs of every seed.

/// Given names whose bearers are mostly called "she".
#[rustfmt::skip]
pub(super) const FEMALE: &[&str] = &[
    "Mary", "Anna", "Laura", "Emma", "Julia", "Sarah", "Alice", "Susan", "Karen", "Linda", "Helen", "Jennifer", "Lisa",
    "Nancy", "Betty", "Sandra", "Michelle", "Amanda", "Melissa", "Rebecca", "Rachel", "Catherine", "Diana", "Jane",
    "Kate", "Elizabeth", "Margaret", "Barbara", "Patricia", "Maria", "Victoria", "Christine", "Angela", "Amy", "Anne",
    "Emily", "Jessica", "Stephanie", "Katherine", "Martha", "Claire", "Sophie", "Lucy", "Eva", "Rose", "Ruth",
    "Caroline", "Charlotte", "Hannah", "Olivia", "Sophia", "Ellen", "Julie", "Carol", "Donna", "Heather",
];

/// Given names whose bearers are mostly called "he".
#[rustfmt::skip]
pub(super) const MALE: &[&str] = &[
    "John", "James", "Robert", "Michael", "William", "David", "Richard", "Joseph", "Thomas", "Charles", "Daniel",
    "Matthew", "Anthony", "Mark", "Paul", "Steven", "Andrew", "Kenneth", "Joshua", "Kevin", "Brian", "George",
    "Edward", "Ronald", "Timothy", "Jason", "Jeffrey", "Ryan", "Jacob", "Gary", "Nicholas", "Eric", "Jonathan",
    "Stephen", "Larry", "Justin", "Scott", "Brandon", "Benjamin", "Samuel", "Frank", "Gregory", "Raymond", "Alexander",
    "Patrick", "Jack", "Dennis", "Peter", "Henry", "Adam", "Simon", "Tom", "Martin", "Philip", "Louis", "Arthur",
];

/// Where two people go.
#[rustfmt::skip]
pub(super) const PLACES: &[&str] = &[
    "store", "park", "school", "office", "library", "restaurant", "hospital", "museum", "station", "beach", "market",
    "church", "garden", "bank", "theater", "hotel", "house", "farm", "airport", "zoo",
];

/// What one gives the other; each goes with "a".
pub(super) const OBJECTS: &[&str] = &[
    "book", "ring", "drink", "ball", "bottle", "basket", "computer", "necklace", "bone", "letter", "map", "key",
    "gift", "coat", "knife", "camera", "ticket", "coin", "lamp", "pen",
];

/// What lasts from one year to another.
#[rustfmt::skip]
pub(super) const EVENTS: &[&str] = &[
    "war", "battle", "siege", "reign", "trial", "strike", "famine", "drought", "plague", "voyage", "journey",
    "campaign", "project", "contract", "treaty", "dispute", "crisis", "festival", "construction", "investigation",
    "occupation", "alliance", "conflict", "empire",
];

/// Nouns for people and things, one and many.
#[rustfmt::skip]
pub(super) const NOUNS: &[(&str, &str)] = &[
    ("doctor", "doctors"), ("teacher", "teachers"), ("student", "students"), ("lawyer", "lawyers"),
    ("farmer", "farmers"), ("driver", "drivers"), ("writer", "writers"), ("singer", "singers"),
    ("soldier", "soldiers"), ("manager", "managers"), ("guest", "guests"), ("friend", "friends"), ("girl", "girls"),
    ("boy", "boys"), ("dog", "dogs"), ("cat", "cats"), ("horse", "horses"), ("bird", "birds"), ("car", "cars"),
    ("truck", "trucks"), ("house", "houses"), ("table", "tables"), ("picture", "pictures"), ("tree", "trees"),
    ("book", "books"), ("key", "keys"), ("door", "doors"), ("window", "windows"),
];

/// What may stand between a subject and a noun that is none.
pub(super) const PREPOSITIONS: &[&str] = &["near", "behind", "beside", "by", "with", "above", "below", "under"];

/// Verbs, for one and for many.
pub(super) const VERBS: &[(&str, &str)] = &[("is", "are"), ("was", "were"), ("has", "have"), ("does", "do")];

/// What may be said of anybody.
pub(super) const PRAISES: &[&str] = &[
    "a really great friend",
    "a wonderful teacher",
    "a very good writer",
    "such a careful driver",
    "a truly gifted singer",
    "such a patient listener",
    "a very fast runner",
    "such a funny neighbor",
];

/// Countries with their capitals.
#[rustfmt::skip]
pub(super) const CAPITALS: &[(&str, &str)] = &[
    ("France", "Paris"), ("Germany", "Berlin"), ("Italy", "Rome"), ("Spain", "Madrid"), ("Portugal", "Lisbon"),
    ("Ireland", "Dublin"), ("Austria", "Vienna"), ("Poland", "Warsaw"), ("Hungary", "Budapest"), ("Greece", "Athens"),
    ("Sweden", "Stockholm"), ("Norway", "Oslo"), ("Denmark", "Copenhagen"), ("Finland", "Helsinki"),
    ("Belgium", "Brussels"), ("Switzerland", "Bern"), ("Serbia", "Belgrade"), ("Croatia", "Zagreb"),
    ("Romania", "Bucharest"), ("Bulgaria", "Sofia"), ("Russia", "Moscow"), ("Latvia", "Riga"), ("Turkey", "Ankara"),
    ("Egypt", "Cairo"), ("Syria", "Damascus"), ("Iraq", "Baghdad"), ("Iran", "Tehran"), ("Lebanon", "Beirut"),
    ("Jordan", "Amman"), ("Afghanistan", "Kabul"), ("Libya", "Tripoli"), ("Kenya", "Nairobi"), ("Ghana", "Accra"),
    ("India", "Delhi"), ("Bangladesh", "Dhaka"), ("Nepal", "Kathmandu"), ("China", "Beijing"), ("Taiwan", "Taipei"),
    ("Japan", "Tokyo"), ("Thailand", "Bangkok"), ("Vietnam", "Hanoi"), ("Indonesia", "Jakarta"),
    ("Australia", "Canberra"), ("New Zealand", "Wellington"), ("Canada", "Ottawa"), ("Cuba", "Havana"),
    ("Chile", "Santiago"), ("Peru", "Lima"), ("South Korea", "Seoul"), ("Saudi Arabia", "Riyadh"),
    ("Scotland", "Edinburgh"), ("Northern Ireland", "Belfast"), ("Jamaica", "Kingston"),
    ("the Netherlands", "Amsterdam"), ("the Philippines", "Manila"), ("the Czech Republic", "Prague"),
    ("the United Kingdom", "London"), ("the United States", "Washington"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn assert_distinct<'a>(words: impl IntoIterator<Item = &'a str>) {
        let mut seen = BTreeSet::new();
        for word in words {
            assert!(!word.is_empty() && word.trim() == word, "{word:?}");
            assert!(seen.insert(word), "{word} stands there twice");
        }
    }

    #[test]
    fn no_word_stands_in_a_list_twice_and_no_name_in_both() {
        assert_distinct(FEMALE.iter().chain(MALE).copied());
        for list in [PLACES, OBJECTS, EVENTS, PREPOSITIONS, PRAISES] {
            assert_distinct(list.iter().copied());
        }
        for couples in [NOUNS, VERBS, CAPITALS] {
            assert_distinct(couples.iter().flat_map(|(one, other)| [*one, *other]));
        }
    }

    #[test]
    fn objects_go_with_the_article_before_them() {
        assert!(OBJECTS.iter().all(|object| !object.starts_with(['a', 'e', 'i', 'o', 'u'])));
    }
}
