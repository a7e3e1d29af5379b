package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"strings"
)

// printRejects prints what files of rejected lines have, from the comments in the sources.
func printRejects() error {
	fields, err := rejectFields("pipeline/dataset/rejects.go")
	if err != nil {
		return err
	}
	var reasons [][]string
	for _, path := range []string{"pipeline/zmap/row.go", "pipeline/ingest/identify.go"} {
		more, err := reasonsIn(path)
		if err != nil {
			return err
		}
		reasons = append(reasons, more...)
	}
	fmt.Print("\n## Rejected lines\n\nFiles in `rejects` have a JSON object a line.\n\n")
	printTable([]string{"field", "type", "meaning"}, fields)
	fmt.Print("\nReasons:\n\n")
	printTable([]string{"reason", "meaning"}, reasons)
	return nil
}

// jsonTypes are Go's types in JSON.
var jsonTypes = map[string]string{"int64": "number", "string": "string", "*string": "string", "[]byte": "string, base64"}

// rejectFields are the fields of the struct Reject.
func rejectFields(path string) ([][]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Reject" {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			tag, tagErr := strconv.Unquote(field.Tag.Value)
			name, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
			typ, meaning := jsonTypes[typeName(field.Type)], comment(field.Comment)
			if tagErr != nil || name == "" || typ == "" || meaning == "" {
				err = fmt.Errorf("%s: Reject.%s lacks a JSON name, type or comment", path, field.Names[0])
			}
			rows = append(rows, []string{"`" + name + "`", typ, meaning})
		}
		return false
	})
	if err == nil && rows == nil {
		err = fmt.Errorf("%s: no struct Reject", path)
	}
	return rows, err
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return "*" + typeName(e.X)
	case *ast.ArrayType:
		return "[]" + typeName(e.Elt)
	}
	return ""
}

// reasonsIn are a file's constants of the type zmap.Reason.
func reasonsIn(path string) ([][]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !isReason(spec.Type) {
			return true
		}
		value, valueErr := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		meaning := comment(spec.Comment)
		if valueErr != nil || meaning == "" {
			err = fmt.Errorf("%s: %s has no comment", path, spec.Names[0])
		}
		rows = append(rows, []string{"`" + value + "`", meaning})
		return true
	})
	if err == nil && rows == nil {
		err = fmt.Errorf("%s: no constant of type Reason", path)
	}
	return rows, err
}

func isReason(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "Reason"
	case *ast.SelectorExpr:
		return e.Sel.Name == "Reason"
	}
	return false
}

func comment(group *ast.CommentGroup) string { return strings.TrimSpace(group.Text()) }
