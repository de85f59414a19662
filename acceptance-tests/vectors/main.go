// Command vectors writes what go-cty makes of values of every type: the types as JSON, the values as MessagePack and
// as JSON, and a description of each value that the encodings have no part in. Run it as
// `go run . > ../../proto/tests/data/values.json`. `go run . accept FILE` reads what somebody else made of them.
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"os"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
	"github.com/zclconf/go-cty/cty/msgpack"
)

type vector struct {
	Type    json.RawMessage `json:"type"`
	Value   any             `json:"value"`
	Msgpack string          `json:"msgpack"`
	JSON    *string         `json:"json,omitempty"`
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "accept" {
		accept(os.Args[2])
		return
	}
	var vectors []vector
	for _, c := range cases() {
		vectors = append(vectors, render(c.value, c.ty))
	}
	fmt.Println("[")
	for i, v := range vectors {
		line, err := json.Marshal(v)
		check(err)
		if i > 0 {
			fmt.Println(",")
		}
		fmt.Print(string(line))
	}
	fmt.Println("\n]")
}

func render(value cty.Value, ty cty.Type) vector {
	typeJSON, err := ctyjson.MarshalType(ty)
	check(err)
	packed, err := msgpack.Marshal(value, ty)
	check(err)
	v := vector{Type: typeJSON, Value: describe(value, ty), Msgpack: hex.EncodeToString(packed)}
	if value.IsWhollyKnown() {
		text, err := ctyjson.Marshal(value, ty)
		check(err)
		s := string(text)
		v.JSON = &s
	}
	return v
}

// describe spells a value out: a kind and what belongs to it.
func describe(value cty.Value, ty cty.Type) any {
	if ty == cty.DynamicPseudoType && value.Type() != cty.DynamicPseudoType {
		typeJSON, err := ctyjson.MarshalType(value.Type())
		check(err)
		return map[string]any{"dynamic": []any{json.RawMessage(typeJSON), describe(value, value.Type())}}
	}
	if !value.IsKnown() {
		return map[string]any{"unknown": refinements(value)}
	}
	if value.IsNull() {
		return "null"
	}
	switch {
	case ty == cty.String:
		return map[string]any{"string": value.AsString()}
	case ty == cty.Bool:
		return map[string]any{"bool": value.True()}
	case ty == cty.Number:
		return map[string]any{"number": exact(value.AsBigFloat())}
	case ty.IsListType():
		return map[string]any{"list": elements(value, ty.ElementType())}
	case ty.IsSetType():
		return map[string]any{"set": elements(value, ty.ElementType())}
	case ty.IsTupleType():
		all := []any{}
		for i, ety := range ty.TupleElementTypes() {
			all = append(all, describe(value.Index(cty.NumberIntVal(int64(i))), ety))
		}
		return map[string]any{"tuple": all}
	case ty.IsMapType():
		all := map[string]any{}
		for it := value.ElementIterator(); it.Next(); {
			k, v := it.Element()
			all[k.AsString()] = describe(v, ty.ElementType())
		}
		return map[string]any{"map": all}
	case ty.IsObjectType():
		all := map[string]any{}
		for name, aty := range ty.AttributeTypes() {
			all[name] = describe(value.GetAttr(name), aty)
		}
		return map[string]any{"object": all}
	}
	panic("no description of " + ty.FriendlyName())
}

func elements(value cty.Value, ety cty.Type) []any {
	all := []any{}
	for it := value.ElementIterator(); it.Next(); {
		_, v := it.Element()
		all = append(all, describe(v, ety))
	}
	return all
}

// exact is the decimal that Terraform means: its shortest form, which is what numbers are compared by.
func exact(f *big.Float) string {
	return f.Text('f', -1)
}

func refinements(value cty.Value) map[string]any {
	known := map[string]any{}
	if value.Type() == cty.DynamicPseudoType {
		return known
	}
	r := value.Range()
	if r.DefinitelyNotNull() {
		known["null"] = false
	}
	ty := value.Type()
	switch {
	case ty == cty.String:
		if prefix := r.StringPrefix(); prefix != "" {
			known["prefix"] = prefix
		}
	case ty == cty.Number:
		if lower, inclusive := r.NumberLowerBound(); lower.IsKnown() && lower != cty.NegativeInfinity {
			known["minimum"] = []any{exact(lower.AsBigFloat()), inclusive}
		}
		if upper, inclusive := r.NumberUpperBound(); upper.IsKnown() && upper != cty.PositiveInfinity {
			known["maximum"] = []any{exact(upper.AsBigFloat()), inclusive}
		}
	case ty.IsCollectionType():
		if lower := r.LengthLowerBound(); lower != 0 {
			known["minimum_length"] = lower
		}
		if upper := r.LengthUpperBound(); upper != math.MaxInt {
			known["maximum_length"] = upper
		}
	}
	return known
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
