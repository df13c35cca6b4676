package faults

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A list that lacks a guest, or has one that is not there, is found; that of a node that was killed is not looked at.
func TestGuestsLists(t *testing.T) {
	lists := []string{"", ""}
	u := &union{}
	for i := range lists {
		admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, lists[i]) }))
		t.Cleanup(admin.Close)
		u.nodes = append(u.nodes, &server{admin: strings.TrimPrefix(admin.URL, "http://")})
	}
	g := &guests{u: u, all: []*guest{{node: 0, id: "b"}, {node: 1, id: "a"}}}
	list := func(ids ...string) string {
		var all []string
		for _, id := range ids {
			all = append(all, fmt.Sprintf(`{"client":%q}`, id))
		}
		return `{"members":[` + strings.Join(all, ",") + `]}`
	}
	for _, tt := range []struct {
		name          string
		first, second string
		killed        int
		want          string
	}{
		{"both", list("b", "a"), list("a", "b"), nobodyKilled, ""},
		{"one lacks a guest", list("a", "b"), list("a"), nobodyKilled, "node 1 lists 1 of 2, and 0 others"},
		{"one has another", list("a", "b", "c"), list("a", "b"), nobodyKilled, "node 0 lists 2 of 2, and 1 others"},
		{"one has another instead", list("a", "c"), list("a", "b"), nobodyKilled, "node 0 lists 1 of 2, and 1 others"},
		{"a node was killed", "gone", list("a"), 0, ""},
		{"and its guest is listed", "gone", list("a", "b"), 0, "node 1 lists 1 of 1, and 1 others"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lists[0], lists[1] = tt.first, tt.second
			got := ""
			if err := g.wrongAt(tt.killed); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	g.all[0].id = ""
	if g.wrongAt(nobodyKilled) == nil {
		t.Error("a guest that is away is not missed")
	}
}
