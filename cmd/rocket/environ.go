package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// variablePrefix begins the names of all variables of Rocket.
const variablePrefix = "ROCKET_"

// serviceLink matches the variables that Kubernetes sets in pods beside services
// whose names begin with "rocket"
// (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
var serviceLink = regexp.MustCompile(`^ROCKET_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// serviceURL matches what Kubernetes sets the variable …_PORT of such a service to.
var serviceURL = regexp.MustCompile(`^(tcp|udp|sctp)://`)

// isServiceLink reports whether a variable comes from Kubernetes and not from an
// operator, although it may have the name of a setting, as ROCKET_PORT has.
func isServiceLink(name, text string) bool {
	return serviceLink.MatchString(name) ||
		strings.HasPrefix(name, variablePrefix) && strings.HasSuffix(name, "_PORT") && serviceURL.MatchString(text)
}

// strangeVariables returns a warning for each variable in environ, a list of
// "NAME=text", that has the prefix of Rocket's variables and is none of them.
func strangeVariables(environ []string) []string {
	known := []string{"SECRET", "TOKEN", "KEY"} // those of clients; all others are settings
	for _, st := range settings() {
		known = append(known, strings.TrimPrefix(st.env(), variablePrefix))
	}
	var warnings []string
	for _, variable := range environ {
		name, text, _ := strings.Cut(variable, "=")
		rest, ours := strings.CutPrefix(strings.ToUpper(name), variablePrefix)
		right := strings.HasPrefix(name, variablePrefix+rest) // in capitals
		if ours && !(right && slices.Contains(known, rest)) && !isServiceLink(name, text) {
			warnings = append(warnings, name+": unknown variable"+variableHint(rest, known))
		}
	}
	slices.Sort(warnings)
	return warnings
}

// variableHint says which variable may be meant by one without its prefix: one of
// known, or that of a key of the file.
func variableHint(rest string, known []string) string {
	for _, st := range settings() {
		if st.key != "" && strings.EqualFold(strings.ReplaceAll(rest, "_", ""), st.key) {
			return "; did you mean " + st.env() + "?"
		}
	}
	return didYouMean(rest, known, variablePrefix)
}

// emptySecrets returns a warning for each secret that a flag or a variable sets to
// nothing, as an empty file of a secret does, and so protects nothing.
func (s sources) emptySecrets() []string {
	var warnings []string
	for _, st := range settings() {
		if !st.at(&config{}).secret || st.key == "" && s.file != "" {
			continue
		}
		where := st.env()
		text, given := s.flags[st.flag]
		if given {
			where = "-" + st.flag
		}
		if given && text == "" || !given && slices.Contains(s.environ, st.env()+"=") {
			warnings = append(warnings, where+": it is set to nothing, which is as if it were not set")
		}
	}
	return warnings
}

// serviceNote says why a variable is not the setting of its name.
func serviceNote(name, text string) string {
	return fmt.Sprintf("%s=%s comes from Kubernetes, which sets it for a service of that name; it is not the setting", name, text)
}
