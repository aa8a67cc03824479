from hypothesis import given
from hypothesis import strategies as st

from pipelines.filters.names import NameRule, load_names


def test_allowed_and_denied_names():
    rule = NameRule(allow=frozenset({"AskScience", "r/python"}), deny=frozenset({"/r/Python"}), what="subreddit")
    assert rule.reason("askSCIENCE") is None
    assert rule.reason("Python") == "subreddit_denied"
    assert rule.reason("other") == "subreddit_not_allowed"
    assert NameRule().reason("anything") is None


NAMES = st.frozensets(st.text("abAB", min_size=1, max_size=2))


@given(NAMES, NAMES, st.text("abAB", min_size=1, max_size=2))
def test_a_name_stays_if_allowed_and_not_denied(allow, deny, name):
    def among(names):
        return name.lower() in {each.lower() for each in names}

    stays = (not allow or among(allow)) and not among(deny)
    assert (NameRule(allow, deny).reason(name) is None) == stays


def test_names_are_read_a_line_each(tmp_path):
    path = tmp_path / "deny.txt"
    path.write_text("\ufeff# not these\nOne\n\n  r/two  # why\r\n", encoding="utf-8")
    assert load_names(path) == {"One", "r/two"}
