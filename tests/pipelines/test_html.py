import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.html import html_to_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        (" \n\t", ""),
        ("no markup at all", "no markup at all"),
        ("<p>one</p>\n\n<p>two</p>", "one\ntwo"),
        ("<p>one<br>two<br/>three</p>", "one\ntwo\nthree"),
        ("<ul><li>one</li><li>two <em>three</em></li></ul>after", "one\ntwo three\nafter"),
        ("<h1>Head</h1>text<hr>more", "Head\ntext\nmore"),
        ("<p>in<b>side</b>  a\n word <i> </i>x</p>", "inside a word x"),
        ("<table><tr><th>a</th><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("a <!-- not seen --> b<!-- nor this -->c", "a bc"),
        ("<?php no ?>seen", "seen"),
        ("<script>no</script><style>p {}</style>seen", "seen"),
        ("<p>unclosed <b>bold", "unclosed bold"),
        ("</div>too much closed</p>", "too much closed"),
        ('<img src="x.png" alt="alt"><a href="y">link</a>', "link"),
    ],
)
def test_markup_goes_and_block_elements_end_lines(html, text):
    assert html_to_text(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("a &lt; b &amp;&amp; c &gt; d", "a < b && c > d"),
        ("&#8217;&#x2019;&rsquo;", "’’’"),
        ("x&nbsp;y", "x y"),
        ("&lt;p&gt;shown markup&lt;/p&gt;", "<p>shown markup</p>"),
        ("&amp;lt;", "&lt;"),
        ("&nosuch; & alone", "&nosuch; & alone"),
    ],
)
def test_entities_are_resolved_once(html, text):
    assert html_to_text(html) == text


CODE = "<p>Try:</p>\n<pre><code>if a &lt; b:\n\n    <span>c</span>()\n</code></pre>\n<p>not <code>d()</code>.</p>"


def test_a_code_block_keeps_its_lines_and_indentation():
    assert html_to_text(CODE) == "Try:\nif a < b:\n\n    c()\nnot d()."


def test_a_code_block_is_dropped_on_request_and_code_within_a_line_is_not():
    assert html_to_text(CODE, code_blocks=False) == "Try:\nnot d()."


def test_all_of_a_code_block_is_kept_whatever_elements_it_has():
    html = '<pre class="lang-py">a<span> = </span>1<!-- no --> + 2\n<b>b</b></pre>tail'
    assert html_to_text(html) == "a = 1 + 2\nb\ntail"
    assert html_to_text(html, code_blocks=False) == "tail"


def test_the_first_line_of_a_code_block_keeps_its_indentation():
    assert html_to_text("<pre>\n    a\n  b\n</pre>") == "    a\n  b"


def test_tex_stays_as_it_is_written():
    html = r'<p>Let <span class="math-container">$a &lt; \frac{1}{2}$</span>.</p><p>$$x_{i}^2 \\ y$$</p>'
    assert html_to_text(html) == "Let $a < \\frac{1}{2}$.\n$$x_{i}^2 \\\\ y$$"


def test_control_characters_and_lone_surrogates_do_not_cut_the_text():
    assert html_to_text("a\0b\x0bc\ud800d") == "abc?d"


def test_markup_nested_two_hundred_deep_is_read():
    assert html_to_text("<blockquote>" * 200 + "deep" + "</blockquote>" * 200) == "deep"


@given(st.text(st.sampled_from("<>/&;#pre div!--?x=\"'\0\n\ud800ä"), max_size=40), st.booleans())
def test_no_input_fails_and_no_line_is_blank_outside_code(html, code_blocks):
    text = html_to_text(html, code_blocks=code_blocks)
    assert text == "" or text.strip()
    assert "\0" not in text


@given(st.lists(st.text("abcäß1 ", min_size=1, max_size=9), max_size=5))
def test_paragraphs_come_out_in_order_with_their_words(paragraphs):
    html = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    assert html_to_text(html).splitlines() == [" ".join(p.split()) for p in paragraphs if p.strip()]
