package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	schemavalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// Kinds that CustomResourceDefinitions define.
type customKinds map[schema.GroupKind]*customKind

type customKind struct {
	namespaced bool
	versions   map[string]*apiextensions.JSONSchemaProps
	// Beyond the schema: what the kind's own webhook and controller would refuse.
	further func(*unstructured.Unstructured) field.ErrorList
}

// loadCustomKinds reads the definitions of a folder.
func loadCustomKinds(folder string) (customKinds, error) {
	kinds := customKinds{}
	if folder == "" {
		return kinds, nil
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("-crds %s holds no .yaml file", folder)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var definition apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(text, &definition); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		kind := &customKind{
			namespaced: definition.Spec.Scope == apiextensionsv1.NamespaceScoped,
			versions:   map[string]*apiextensions.JSONSchemaProps{},
		}
		for _, version := range definition.Spec.Versions {
			internal := &apiextensions.JSONSchemaProps{}
			err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
				version.Schema.OpenAPIV3Schema, internal, nil)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			kind.versions[version.Name] = internal
		}
		name := schema.GroupKind{Group: definition.Spec.Group, Kind: definition.Spec.Names.Kind}
		if name == jobSetKind {
			kind.further = checkJobSet
		}
		kinds[name] = kind
	}
	return kinds, nil
}

// check does what an API server does with a custom resource, strictly
// (apiextensions-apiserver: customresource_handler.go, registry/customresource/strategy.go).
func (k *customKind) check(document []byte) field.ErrorList {
	text, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return decodingErrors(err)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(text); err != nil {
		return decodingErrors(err)
	}
	props, ok := k.versions[object.GroupVersionKind().Version]
	if !ok {
		return decodingErrors(fmt.Errorf("apiVersion %s is not served", object.GetAPIVersion()))
	}
	structural, err := structuralschema.NewStructural(props)
	if err != nil {
		return decodingErrors(err)
	}
	validator, _, err := schemavalidation.NewSchemaValidator(props)
	if err != nil {
		return decodingErrors(err)
	}
	found := decode(object, structural)
	if len(found) > 0 {
		return found
	}
	if object.GetNamespace() == "" && k.namespaced {
		object.SetNamespace("default")
	}
	found = append(found, validation.ValidateObjectMetaAccessor(
		object, k.namespaced, validation.NameIsDNSSubdomain, field.NewPath("metadata"))...)
	found = append(found, schemavalidation.ValidateCustomResource(nil, object.Object, validator)...)
	found = append(found, objectmeta.Validate(nil, object.Object, structural, false)...)
	found = append(found, listtype.ValidateListSetsAndMaps(nil, structural, object.Object)...)
	if len(found) > 0 {
		return found
	}
	if rules := cel.NewValidator(structural, true, celconfig.PerCallLimit); rules != nil {
		broken, _ := rules.Validate(
			context.Background(), nil, structural, object.Object, nil, celconfig.RuntimeCELCostBudget)
		found = append(found, broken...)
	}
	if k.further != nil {
		found = append(found, k.further(object)...)
	}
	return found
}

// decode tells of unknown fields, and sets defaults.
func decode(object *unstructured.Unstructured, structural *structuralschema.Structural) field.ErrorList {
	_, _, unknown, err := objectmeta.GetObjectMetaWithOptions(
		object.Object, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		return decodingErrors(err)
	}
	unknown = append(unknown, pruning.PruneWithOptions(
		object.Object, structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})...)
	defaulting.PruneNonNullableNullsWithoutDefaults(object.Object, structural)
	problem, more := objectmeta.CoerceWithOptions(
		nil, object.Object, structural, false, objectmeta.CoerceOptions{ReturnUnknownFieldPaths: true})
	if problem != nil {
		return field.ErrorList{problem}
	}
	var found field.ErrorList
	for _, path := range append(unknown, more...) {
		found = append(found, decodingErrors(fmt.Errorf("unknown field %q", path))...)
	}
	defaulting.Default(object.Object, structural)
	return found
}
