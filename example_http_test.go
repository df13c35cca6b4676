package webrocket_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"

	"github.com/nu7hatch/webrocket"
)

// Pages and an API of the program, on the port of the hubs.
func ExampleServer_http() {
	server := webrocket.NewServer("localhost:0")
	if err := server.Handle("/", webrocket.NewJSONHandler()); err != nil {
		log.Fatal(err)
	}
	server.HTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hello" {
			server.RefuseHTTP(w, r) // as without HTTP: 426 where there is a hub, otherwise 404
			return
		}
		fmt.Fprintf(w, "hello, %s", r.URL.Query().Get("name"))
	})
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	for _, path := range []string{"/hello?name=world", "/", "/nowhere"} {
		response, err := http.Get("http://" + server.Addr().String() + path)
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		fmt.Printf("%d %.12s\n", response.StatusCode, body)
	}
	_ = server.Shutdown(context.Background())

	// Output:
	// 200 hello, world
	// 426 this is a We
	// 404 There is not
}
