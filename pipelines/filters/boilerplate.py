"""What machines write: notices that sites and moderators post by rule, and the comments of bots."""

from __future__ import annotations

import re

from pipelines.filters.rule import TextRule

# A notice must begin the text and go on as such notices do, so that talk about them stays.
_POST = "(?:submission|post|comment|thread|link|question|answer|topic)"
_GONE = r"(?:has\ been|was)\ (?:automatically\ )?(?:removed|deleted|locked|closed|archived)"
_NOTICE = re.compile(
    rf"""[\s>*_^~\#(\["'-]*
    # most texts end here
    (?=you|thi|the\ [aclpqst]|thank|hi|hel|hey|gre|del|rem|we\ |by\ |ple|ena|sub|sig|log|don|lik|cli|cop|©|\(c)(?:
        (?:(?:hi|hello|hey|greetings)\b[\w\s,/-]{{0,40}}?[\s,!.]\s?)?
          your\ {_POST}\ {_GONE}(?:[.!:]|$|\ (?:from|for|because|as|since|due|under|by|in\ accordance|per)\b)
      | (?:this|the)\ {_POST}\ {_GONE}
          (?:[.!]?[\s*_)\]]*$|\ (?:by|from)\ (?:an?\ |the\ )?(?:moderator|mods?\b|bot\b|author|user)
            |\ (?:as|because|for|since|due\ to)\ (?:it\ )?(?:being\ |having\ |has\ been\ |was\ )?
              (?:violat|break|breach|a\ duplicate|off.topic|marked\ as))
      | this\ {_POST}\ (?:has\ been|was)\ overwritten\ by\b
      | thank(?:s|\ you)\ for\ your\ (?:submission|post|comment)\W+(?:unfortunately|however|but),?\ (?:it|your|this)\b
      | \[?deleted\]?\s+\^{{4}}
      | \[?(?:deleted|removed)(?:\ by\ (?:user|author|moderators?|reddit))?\][\s*_]*$
      | (?:we|this\ (?:(?:web)?site|page))\ uses?\ cookies\b
      | by\ (?:continuing|using|browsing|visiting)\b.{{0,60}}\bcookies\b
      | (?:please\ )?enable\ (?:javascript|cookies)\b
      | (?:please\ )?(?:subscribe|sign\ ?up)\ (?:to|for)\ (?:our|my|the)\ (?:\w+\ )?
          (?:newsletter|mailing\ list|channel)\b
      | (?:please\ )?(?:don['’]?t\ forget\ to\ )?like,?\ (?:share,?\ |comment,?\ )?(?:and|&)\ subscribe\b
      | click\ here\ to\ (?:un)?subscribe\b
      | (?:you\ (?:must|need\ to|have\ to)\ (?:be\ logged\ in|log\ ?in|sign\ in|register)
          |(?:please\ )?(?:log|sign)\ ?in(?:\ or\ (?:register|sign\ ?up))?
        )\ to\ (?:post|reply|comment|vote|view)\b
      | (?:copyright|©|\(c\)).{{0,80}}\ball\ rights\ reserved\W*$
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_BOT_SPEAKS = re.compile(
    rf"""(?:^|[.!?|\n()\[\]–—-]|oop)[\s,.!]{{0,8}}(?:
        i(?:['’]|\ a)m\ (?:just\ )?a\ bot(?:
          \s*(?:$|[.!|()\[\]\n])
          | [\s,;–—-]+(?:and\ this|made|created|written|designed|whose|that|please|contact|bleep|beep)\b)
      | this\ (?:action|message|reply|{_POST})\ (?:is|was|has\ been)\ (?:
          (?:performed|posted|generated|sent|created|made|written)\ (?:automatically|by\ a\ bot)\b
          | automatically\ (?:performed|posted|generated|sent|created)\b)
    )""",
    re.IGNORECASE | re.VERBOSE,
)


def is_boilerplate(text: str) -> bool:
    """Whether a text begins as a notice that sites and moderators post by rule, or says that a bot wrote it.

    Removals, cookies, newsletters, log-in prompts, `[deleted]`; English alone.
    """
    return _NOTICE.match(text) is not None or _says_bot(text)


def _says_bot(text: str) -> bool:
    if "bot" not in text and "automatically" not in text:
        return False
    plain = text.replace("^", "").replace("*", "").replace("_", "")  # bots write small and slanted
    return _BOT_SPEAKS.search(plain) is not None


BOILERPLATE = TextRule("boilerplate", is_boilerplate)


# Authors

_KNOWN_BOTS = frozenset({"automoderator", "autotldr", "modteam"})
_LAST_WORD = re.compile(r"[A-Z]?[a-z]+$|[A-Z]+$")
_NO_BOTS = ("robot", "abbot", "talbot", "cabot", "turbot", "sabot", "jabot", "burbot")
_DENIES = re.compile(r"(?:not|isnt|never|no|im|iam|am|ima|imma)[_-]?(?:an?|the)?[_-]?(?:ro)?bot$", re.IGNORECASE)


def is_bot(author: str, body: str) -> bool:
    """Whether a comment's author is a program, by name or by own words.

    Names: AutoModerator, autotldr, …-ModTeam, and those whose last word is or ends in `bot`, as in
    `RemindMeBot`, `tweet_bot`, `haikubot`; not words that happen to (`MrRobot`, `abbot`), nor
    people who joke about it (`not_a_bot`). Words: "I am a bot …", "this action was performed automatically".
    """
    return _is_bot_name(author) or _says_bot(body)


def _is_bot_name(author: str) -> bool:
    if author[-3:].lower() not in ("bot", "tor", "ldr", "eam"):  # most names
        return False
    if author.lower() in _KNOWN_BOTS or author.endswith("-ModTeam"):
        return True
    word = _LAST_WORD.search(author[-40:])
    last = word[0].lower() if word else ""
    return last.endswith("bot") and not last.endswith(_NO_BOTS) and not _DENIES.search(author)
