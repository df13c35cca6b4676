//go:build race

package engine

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// anyGoroutine are the methods that may be called from elsewhere, and Run,
// which is for gnet.
var anyGoroutine = map[string][]string{
	"Conn": {"ID", "Loop", "Serial"},
	"Loop": {"Index", "Post", "Run", "Wake", "Worker"},
}

// A method that is for the loop only panics on another goroutine, and names
// itself and the way to do it. The others work there.
func TestMethodsFromAForeignGoroutine(t *testing.T) {
	tc := newTestConn(t)
	for _, receiver := range []any{tc.Conn, tc.Loop()} {
		v := reflect.ValueOf(receiver)
		typ := v.Elem().Type().Name()
		for i := range v.NumMethod() {
			name := v.Type().Method(i).Name
			if name == "Run" {
				continue
			}
			got := panicOn(v.Method(i))
			if slices.Contains(anyGoroutine[typ], name) {
				if got != "" {
					t.Errorf("%s.%s: got the panic %q", typ, name, got)
				}
				continue
			}
			if !strings.Contains(got, typ+"."+name+" was called") || !strings.Contains(got, "use Loop.Post") {
				t.Errorf("%s.%s: got the panic %q", typ, name, got)
			}
		}
	}
	tc.wantOpen()
}

// panicOn calls a method with zero values on a goroutine of its own, and
// returns what it panicked with.
func panicOn(method reflect.Value) string {
	panicked := make(chan string)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				panicked <- fmt.Sprint(r)
				return
			}
			panicked <- ""
		}()
		args := make([]reflect.Value, method.Type().NumIn())
		for i := range args {
			args[i] = reflect.Zero(method.Type().In(i))
			if args[i].Type() == reflect.TypeFor[func()]() {
				args[i] = reflect.ValueOf(func() {}) // for Post
			}
		}
		method.Call(args)
	}()
	return <-panicked
}
