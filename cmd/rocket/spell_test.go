package main

import "testing"

func TestDidYouMean(t *testing.T) {
	known := []string{"Host", "Port", "ReadOnly", "ReadWrite", "MaxConnections"}
	for word, want := range map[string]string{
		"port":          "; did you mean Port?",
		"Prot":          "; did you mean Port?",
		"ReadOnyl":      "; did you mean ReadOnly?",
		"MaxConections": "; did you mean MaxConnections?",
		"Colour":        "",
		"":              "",
	} {
		if got := didYouMean(word, known, ""); got != want {
			t.Errorf("didYouMean(%q) = %q, want %q", word, got, want)
		}
	}
}
