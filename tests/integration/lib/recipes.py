"""docs/recipes as they are written, for tests that stand them up: but for ports, paths and the domain."""

import pathlib
import re

RECIPES = pathlib.Path(__file__).resolve().parents[3] / "docs" / "recipes"


def block(recipe, kind):
    """A block of a recipe, with the tests' domain."""
    text = re.search(rf"```{re.escape(kind)}\n(.*?)```", (RECIPES / f"{recipe}.md").read_text(), re.S)[1]
    return text.replace("example.org", "example.test")


def configured(mired, recipe, replace, **options):
    """A mired with the recipe's mired.conf; `replace` is what differs here. Tarpit times are the test's own."""
    text = block(recipe, "mired.conf")
    text = re.sub(r"^(hostname|domains|tarpit|listen .*:25\").*\n", "", text, flags=re.M)
    for old, new in replace.items():
        assert old in text, (recipe, old)
        text = text.replace(old, str(new))
    kept = dict(tarpit="time = 1s growth = 1", recipients=None, backend="")
    return mired(**{**kept, **options}, config=text)


def recipes_postfix(postfix, more=""):
    """A Postfix as its recipe says; `postfix` makes it."""
    listener, *options = block("postfix", "master.cf").splitlines()
    assert listener.split()[1:2] == ["inet"] and options
    return postfix(extra=block("postfix", "main.cf") + more, options="\n".join(options))
