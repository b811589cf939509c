"""Texts whose layout a tokenizer must keep."""

LAYOUTS = {
    "paragraphs": "One line,\nand a second.\n\nA new paragraph.\n\n\n\nAnother.",
    "code": "def f(x):\n\tif x:\n\t\treturn x\n    # four\n\n\treturn None\n",
    "indented by spaces": "for i in range(3):\n    for j in range(i):\n        print(i,  j)",
    "a list": "- one\n  - two\n    * three\n1. four\n 2.  five\n",
    "CRLF": "one\r\ntwo\r\n\r\nthree\r\n",
    "emoji": "a 👩‍👩‍👧 b 🏳️‍🌈\n👍🏽",
    "runs of spaces": "a  b   c    d                 e",
    "blanks at either end": "  \n\t a b \t \n ",
    "one leading space": " a",
    "odd blanks": "a\u00a0b\u2003c\u2028d\x0be\x0cf\x85g",
    "blanks alone": " \n\n ",
    "nothing": "",
}
