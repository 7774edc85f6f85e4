"""What is left of odd words, missing documentation and overgrown code, held to limits.

    python -m tools.words                # a line for each rule; exits 1 if one is above its limit
    python -m tools.words --list RULE    # the places, as file:line
    python -m tools.words --json

A *page* is a Markdown file of docs, or README, SECURITY or CONTRIBUTING. The rules:

- ``told``, ``whose``, ...: the word, wherever it stands in src and in pages.
- ``words``: any of them in a page or in a docstring of a module, class or function that is not
  private. A name is private if it, or what it stands in, begins with one underscore; so is
  everything inside a function.
- ``participles``: functions and methods of src named by a participle ("begun", "_taken_back").
  The first word of the name counts. Properties, tests, and verbs that equal their participle
  (read, put, set) are left out.
- ``docstrings``: public objects without one. Public is what an ``__all__`` in src/ramet lists, what
  a module exports by ``import x as x`` and an ``__init__`` by ``x = y``, and the public methods and
  properties of such classes. A value that is no class or function has a comment on the line above.
  A method of a public Protocol is documented there for every class that has all of the Protocol's
  methods and fields.
- ``arguments``: public objects with an argument or field that is not documented. It is documented
  by an entry in "Args:" or "Attributes:", by standing in the docstring in backticks, or, for a
  field, by a comment above it, on its line, or by a string below it. A comment is about the one
  field that follows. What says itself needs nothing: an argument that is named as its type
  (``space: Space``, ``rng: np.random.Generator``). Arguments of ``__init__`` and fields are
  documented in the class, those of a Protocol's method in the Protocol. What a class inherits is
  looked at where it is written.
- ``lines``: lines of docs above 140 characters that could be broken: outside of tables and code.
- ``functions``, ``files``: functions above 60 lines, decorators not counted, and files above 350.
- ``circles``: groups of files that import each other, by imports at the top, inside functions and
  under TYPE_CHECKING alike. That an import runs the packages above the module is not counted.
"""
