// Command manifest reads Kubernetes manifests as a server with strict field
// validation does: every key has to be one of the API, once, with a value of its
// type.
//
// Of a document in Markdown it reads the blocks of YAML.
//
//	go -C tools run ./manifest ../deploy/kubernetes.yaml ../docs/proxies.md
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func main() {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme} {
		if err := add(scheme); err != nil {
			fail(err)
		}
	}
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme,
		json.SerializerOptions{Yaml: true, Strict: true})
	for _, name := range os.Args[1:] {
		text, err := os.ReadFile(name)
		if err != nil {
			fail(err)
		}
		if strings.HasSuffix(name, ".md") {
			text = blocks(text)
		}
		documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
		for n := 1; ; n++ {
			document, err := documents.Read()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				fail(fmt.Errorf("%s: %w", name, err))
			}
			if _, _, err := decoder.Decode(document, nil, nil); err != nil {
				fail(fmt.Errorf("%s: document %d: %w", name, n, err))
			}
		}
	}
}

// blocks returns the blocks of YAML in a document, as documents of one file.
func blocks(markdown []byte) (all []byte) {
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(markdown, -1) {
		all = append(append(all, "---\n"...), m[1]...)
	}
	if all == nil {
		fail(errors.New("a document without YAML"))
	}
	return all
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "manifest:", err)
	os.Exit(1)
}
