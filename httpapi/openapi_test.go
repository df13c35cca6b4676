package httpapi_test

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/nu7hatch/webrocket/httpapi"
)

// described is openapi.yaml, which must be valid.
var described = sync.OnceValues(func() (*openapi3.T, routers.Router) {
	doc, err := openapi3.NewLoader().LoadFromData(httpapi.OpenAPI)
	if err != nil {
		panic(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		panic(err)
	}
	openapi3filter.RegisterBodyDecoder("application/yaml", openapi3filter.FileBodyDecoder)
	return doc, router
})

// describedAnswer fails unless openapi.yaml has an answer to a request.
func describedAnswer(t *testing.T, r *http.Request, response *http.Response, body []byte) {
	t.Helper()
	if response.StatusCode == http.StatusNotFound && bytes.Contains(body, []byte("docs/http.md")) || r.Method == http.MethodOptions {
		return // it is none of the API
	}
	openapi3filter.RegisterBodyDecoder("text/javascript", openapi3filter.FileBodyDecoder)
	_, router := described()
	relative := r.Clone(t.Context())
	relative.URL.Scheme, relative.URL.Host = "", ""
	if strings.HasPrefix(relative.URL.Path, "/v1/publish/") { // a name with a "/" is one segment there
		relative.URL.Path, relative.URL.RawPath = "/v1/publish/x", ""
	}
	route, params, err := router.FindRoute(relative)
	if err != nil {
		if response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		return
	}
	err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 response.StatusCode, Header: response.Header,
		Body:    io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
	if err != nil {
		t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
	}
}

// openapi.yaml has the routes of the API, with their methods, and no other.
func TestDescribedRoutes(t *testing.T) {
	doc, _ := described()
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	var got []string
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			got = append(got, path+" "+method)
		}
	}
	var want []string
	for path, methods := range httpapi.Routes() {
		want = append(want, path+" "+strings.Split(methods, ", ")[0])
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("openapi.yaml has\n%q\nthe API has\n%q", got, want)
	}
}
