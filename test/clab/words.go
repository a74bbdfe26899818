package main

import (
	"errors"
	"strings"
)

// words splits a command as containerlab does: at white space, but for what is
// quoted. There is no shell, so nothing else has a meaning.
func words(command string) ([]string, error) {
	var list []string
	var word strings.Builder
	inWord := false
	quote := rune(0)
	escaped := false
	for _, c := range command {
		switch {
		case escaped:
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			inWord, escaped = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			inWord, quote = true, c
		case strings.ContainsRune(" \t\r\n", c):
			if inWord {
				list = append(list, word.String())
			}
			word.Reset()
			inWord = false
		default:
			inWord = true
			word.WriteRune(c)
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("a quote or backslash at the end has nothing behind it")
	}
	if inWord {
		list = append(list, word.String())
	}
	return list, nil
}
