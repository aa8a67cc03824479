"""Whatever a text may be, for the tests of filters."""

from hypothesis import strategies as st

ANY_TEXT = st.text(st.characters(), max_size=60) | st.lists(
    st.sampled_from(
        [
            "<",
            ">",
            "&",
            "&#",
            "1" * 9,
            ";",
            "http://",
            "www.",
            "[",
            "](",
            ")",
            "\n",
            "a bot",
            "i'm ",
            "your post was removed",
            "好",
            "é",
            "\u0301",
            " ",
            "haha",
        ]
    ),
    max_size=30,
).map("".join)
"""Texts of any characters, and texts of pieces that the rules look for."""
