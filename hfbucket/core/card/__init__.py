"""The card of an export, from its manifest alone: facts, sentences, tables, words, as safe Markdown."""
