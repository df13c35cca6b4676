package auth

import "testing"

func TestAllow(t *testing.T) {
	locked := Credentials{ReadOnly: "r", ReadWrite: "rw"}
	tests := []struct {
		name   string
		creds  Credentials
		access Access
		secret string
		want   bool
	}{
		{"read-only secret", locked, ReadOnly, "r", true},
		{"read-write secret", locked, ReadWrite, "rw", true},
		{"read-write secret logs in read-only", locked, ReadOnly, "rw", true},
		{"no read-write secret does not open reading", Credentials{ReadOnly: "r"}, ReadOnly, "", false},
		{"read-only secret does not log in read-write", locked, ReadWrite, "r", false},
		{"wrong secret", locked, ReadOnly, "x", false},
		{"empty secret against a set one", locked, ReadWrite, "", false},
		{"prefix of the secret", locked, ReadWrite, "r", false},
		{"longer than the secret", locked, ReadOnly, "rr", false},
		{"open hub, no secret", Credentials{}, ReadWrite, "", true},
		{"open hub, any secret", Credentials{}, ReadOnly, "x", true},
		{"open for reading only", Credentials{ReadWrite: "rw"}, ReadOnly, "x", true},
		{"open for reading only, writing", Credentials{ReadWrite: "rw"}, ReadWrite, "x", false},
		{"no access", Credentials{}, None, "", false},
		{"access that does not exist", Credentials{}, ReadWrite + 1, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.creds.Allow(tt.access, tt.secret); got != tt.want {
				t.Errorf("Allow(%d, %q) = %v, want %v", tt.access, tt.secret, got, tt.want)
			}
		})
	}
}

func TestCodes(t *testing.T) {
	for name, want := range map[string]Access{"read-only": ReadOnly, "read-write": ReadWrite, "admin": None} {
		if got := Codes[name]; got != want {
			t.Errorf("Codes[%q] = %d, want %d", name, got, want)
		}
	}
}
