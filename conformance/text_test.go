package conformance_test

import (
	"fmt"
	"slices"
	"testing"
)

// RFC 6455 §8.1: text is UTF-8.

func TestText(t *testing.T) {
	var ds []dialogue
	for name, s := range map[string]string{
		"hello":                       "Hello-µ@ßöäüàá-UTF-8!!",
		"greek":                       "κόσμε",
		"least and most of each size": "\x00\x7f\u0080\u07ff\u0800\uffff\U00010000\U0010ffff",
		"around the surrogates":       "\ud7ff\ue000\ufffd",
		"noncharacters":               "\ufdd0\ufffe\uffff\U0001ffff",
		"a byte order mark":           "\ufeff",
	} {
		ds = append(ds, dialogue{name: name, say: textMessage(s), hear: []string{textBack(s)}})
		for n := 1; n < 5; n++ {
			ds = append(ds, dialogue{
				name: fmt.Sprint(name, " in fragments of ", n),
				say:  fragments(opText, s, n, ping("")), hear: pongs((len(s)-1)/n, textBack(s)),
			})
		}
	}
	hold(t, ds)
}

// pongs returns n pongs and what follows them.
func pongs(n int, after string) []string {
	return append(slices.Repeat([]string{"pong"}, n), after)
}

func TestInvalidText(t *testing.T) {
	var ds []dialogue
	for name, s := range map[string]string{
		"a lone continuation byte":    "a\x80",
		"two continuation bytes":      "\x80\xbf",
		"a character cut after one":   "a\xce",
		"a character cut after two":   "\xe1\x80",
		"a character cut after three": "\xf0\x90\x80",
		"overlong slash in two":       "\xc0\xaf",
		"overlong slash in three":     "\xe0\x80\xaf",
		"overlong slash in four":      "\xf0\x80\x80\xaf",
		"overlong NUL":                "\xc0\x80",
		"five bytes":                  "\xf8\x88\x80\x80\x80",
		"six bytes":                   "\xfc\x84\x80\x80\x80\x80",
		"over U+10FFFF":               "\xf4\x90\x80\x80",
		"a surrogate":                 "\xed\xa0\x80",
		"a pair of surrogates":        "\xed\xa0\x80\xed\xb0\x80",
		"FE and FF":                   "\xfe\xff",
		"valid, then not":             "κόσμε\xed\xa0\x80edited",
	} {
		ds = append(
			ds,
			dialogue{name: name, say: textMessage(s), hear: []string{"close 1007"}},
			dialogue{name: name + ", as binary", say: binaryMessage(s), hear: []string{binaryBack(s)}},
			dialogue{name: name + ", byte by byte", say: fragments(opText, s, 1, ""), hear: []string{"close 1007"}},
			dialogue{name: name + ", as the reason of a close", say: closing(1000, s), hear: []string{"close 1007"}},
		)
	}
	hold(t, ds)
}

// "failing fast": the connection ends with the first byte that cannot be right,
// before the rest of the message, or even of the frame, is there.
func TestTextFailsFast(t *testing.T) {
	const wrong = "κόσμε\xf4\x90"
	hold(t, []dialogue{
		{name: "in the first frame of a message", say: frame(firstText, wrong), hear: []string{"close 1007"}},
		{name: "in a later frame of a message", say: frame(firstText, "κόσμε") + frame(middle, "\xf4\x90"), hear: []string{"close 1007"}},
		{name: "over the border of two frames", say: frame(firstText, "κόσμε\xf4") + frame(middle, "\x90"), hear: []string{"close 1007"}},
		{name: "in the middle of a frame", say: cut(textMessage(wrong+long(50)), 50), hear: []string{"close 1007"}},
		{name: "in the middle of a long frame", say: cut(textMessage(wrong+long(60000)), 60000), hear: []string{"close 1007"}},
	})
}

// cut returns s without its last n bytes.
func cut(s string, n int) string { return s[:len(s)-n] }
