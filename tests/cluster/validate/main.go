// Validates manifests as an API server would when they are created, without one: strict decoding,
// defaults and validation are its own code.
//
//	validate [-crds FOLDER] [FILE…]
//
// reads YAML or JSON with any number of documents, from standard input where no file is named.
// Prints a line for each error, FILE: KIND NAME: FIELD: MESSAGE, and exits with 1 if there is one;
// with 2 if a file can't be read.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	documents "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// What an error says of a field that it names in its text.
var unknownField = regexp.MustCompile(`^(unknown|duplicate) field "(.*)"$`)

// A manifest's type and name, which its errors are said with.
type identity struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
}

func main() {
	crds := flag.String("crds", "", "folder of CustomResourceDefinitions, whose kinds are known then")
	flag.Parse()
	kinds, err := loadCustomKinds(*crds)
	if err != nil {
		fail(err)
	}
	files := flag.Args()
	if len(files) == 0 {
		files = []string{"-"}
	}
	found := 0
	for _, name := range files {
		file := os.Stdin
		if name != "-" {
			if file, err = os.Open(name); err != nil {
				fail(err)
			}
		}
		lines, err := checkAll(file, kinds)
		if err != nil {
			fail(fmt.Errorf("%s: %w", name, err))
		}
		for _, line := range lines {
			fmt.Printf("%s: %s\n", name, line)
		}
		found += len(lines)
	}
	if found > 0 {
		os.Exit(1)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "validate:", err)
	os.Exit(2)
}

// checkAll returns the errors of all documents of a stream.
func checkAll(stream io.Reader, kinds customKinds) ([]string, error) {
	var lines []string
	reader := documents.NewYAMLReader(bufio.NewReader(stream))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return nil, err
		}
		var who identity
		err = yaml.Unmarshal(document, &who)
		if err == nil && isEmpty(document) {
			continue
		}
		for _, problem := range check(document, who.TypeMeta, kinds) {
			lines = append(lines, line(who, problem))
		}
	}
}

// isEmpty tells whether a document has nothing but comments.
func isEmpty(document []byte) bool {
	for _, line := range bytes.Split(document, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && string(line) != "---" {
			return false
		}
	}
	return true
}

// check returns the errors of a manifest.
func check(document []byte, kind metav1.TypeMeta, kinds customKinds) field.ErrorList {
	group := schema.FromAPIVersionAndKind(kind.APIVersion, kind.Kind).GroupKind()
	if custom, ok := kinds[group]; ok {
		return custom.check(document)
	}
	return checkBuiltin(document)
}

func line(who identity, problem *field.Error) string {
	text := problem.ErrorBody()
	if problem.Type == field.ErrorTypeInternal {
		text = problem.Detail
	}
	if problem.Field != "" && problem.Field != "<nil>" {
		text = problem.Field + ": " + text
	}
	name := who.Name
	if name == "" {
		name = who.GenerateName
	}
	return fmt.Sprintf("%s %s: %s", who.Kind, name, strings.ReplaceAll(text, "\n", " "))
}

// decodingErrors tells what could not be decoded, one error for each unknown field.
func decodingErrors(err error) field.ErrorList {
	each := []error{err}
	if strict, ok := runtime.AsStrictDecodingError(err); ok {
		each = strict.Errors()
	}
	var found field.ErrorList
	for _, err := range each {
		problem := &field.Error{Type: field.ErrorTypeInternal, Detail: err.Error()}
		if parts := unknownField.FindStringSubmatch(err.Error()); parts != nil {
			problem.Field, problem.Detail = parts[2], parts[1]+" field"
		}
		found = append(found, problem)
	}
	return found
}
