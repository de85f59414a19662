package main

import (
	"math"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

type sample struct {
	value cty.Value
	ty    cty.Type
}

func cases() []sample {
	leaves := leaves()
	all := append([]sample{}, leaves...)
	for _, leaf := range leaves {
		all = append(all, sample{leaf.value, cty.DynamicPseudoType})
		all = append(all, wrapped(leaf)...)
	}
	all = append(all, collections()...)
	for _, c := range collections() {
		all = append(all, sample{c.value, cty.DynamicPseudoType})
	}
	return append(all, mixed()...)
}

func leaves() []sample {
	var all []sample
	add := func(ty cty.Type, values ...cty.Value) {
		for _, v := range values {
			all = append(all, sample{v, ty})
		}
	}
	for _, ty := range []cty.Type{cty.String, cty.Number, cty.Bool} {
		add(ty, cty.NullVal(ty), cty.UnknownVal(ty), cty.UnknownVal(ty).RefineNotNull())
	}
	add(cty.Bool, cty.True, cty.False)
	for _, text := range []string{
		"", "a", "\u00e9", "e\u0301", "\u1e9b\u0323", "\uac00", "\u1100\u1161", "line\nbreak\ttab\\\"", "<&>\u2028\u2029",
		"\x00\x01\x7f", "\U0001f600", strings.Repeat("x", 31), strings.Repeat("x", 32), strings.Repeat("x", 255),
		strings.Repeat("x", 256), strings.Repeat("\u00e9", 100),
	} {
		add(cty.String, cty.StringVal(text))
	}
	for _, number := range []int64{
		0, 1, -1, 31, 32, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 1 << 31, 1<<31 - 1, 1 << 32, 1<<53 + 1,
		-31, -32, -33, -128, -129, -32768, -32769, -1 << 31, -1<<31 - 1, math.MaxInt64, math.MinInt64,
	} {
		add(cty.Number, cty.NumberIntVal(number))
	}
	for _, number := range []float64{
		0.5, -0.5, 0.1, 0.8, 1.1, -2.75, 3.14159, 1e-7, 1e21, 1e22, 1e100, math.Pi, 0x1p-1022,
		math.MaxFloat64, 1.0 / 3.0,
	} {
		add(cty.Number, cty.NumberFloatVal(number))
	}
	for _, number := range []string{
		"0", "0.8", "0.1", "1.1", "0.5", "1e3", "1.50", "18446744073709551615", "18446744073709551616",
		"9223372036854775808", "-9223372036854775809", "123456789012345678901234567890",
		"3.14159265358979323846264338327950288419716939937510582097494459", "1e100", "1e-100", "-0.001", "1e400",
		"0.30000000000000000000000000000000000000000000000000000000000000000004", "4.4501477170144023e-308",
	} {
		add(cty.Number, cty.MustParseNumberVal(number))
	}
	for _, prefix := range []string{"a", "https://", "\u00e9", strings.Repeat("p", 200), strings.Repeat("p", 256)} {
		add(cty.String, cty.UnknownVal(cty.String).Refine().NotNull().StringPrefixFull(prefix).NewValue(),
			cty.UnknownVal(cty.String).Refine().StringPrefixFull(prefix).NewValue())
	}
	for _, bound := range []cty.Value{
		cty.NumberIntVal(0), cty.NumberIntVal(-70000), cty.NumberFloatVal(0.5), cty.MustParseNumberVal("0.1"),
		cty.MustParseNumberVal("18446744073709551616"),
	} {
		for _, inclusive := range []bool{true, false} {
			add(cty.Number,
				cty.UnknownVal(cty.Number).Refine().NumberRangeLowerBound(bound, inclusive).NewValue(),
				cty.UnknownVal(cty.Number).Refine().NotNull().NumberRangeUpperBound(bound, inclusive).NewValue(),
				cty.UnknownVal(cty.Number).Refine().NumberRangeLowerBound(bound, inclusive).
					NumberRangeUpperBound(bound.Add(cty.NumberIntVal(3)), inclusive).NewValue())
		}
	}
	return all
}

// wrapped puts a leaf into one of each kind of collection.
func wrapped(leaf sample) []sample {
	pair := cty.Object(map[string]cty.Type{"a": leaf.ty, "b": cty.Bool})
	return []sample{
		{cty.ListVal([]cty.Value{leaf.value, leaf.value}), cty.List(leaf.ty)},
		{cty.SetVal([]cty.Value{leaf.value}), cty.Set(leaf.ty)},
		{cty.MapVal(map[string]cty.Value{"k": leaf.value, "e\u0301": leaf.value}), cty.Map(leaf.ty)},
		{cty.TupleVal([]cty.Value{leaf.value, cty.True}), cty.Tuple([]cty.Type{leaf.ty, cty.Bool})},
		{cty.ObjectVal(map[string]cty.Value{"a": leaf.value, "b": cty.NullVal(cty.Bool)}), pair},
		{cty.ObjectVal(map[string]cty.Value{"b": cty.True, "d": leaf.value}),
			cty.Object(map[string]cty.Type{"b": cty.Bool, "d": cty.DynamicPseudoType})},
		{cty.ListVal([]cty.Value{leaf.value}), cty.List(cty.DynamicPseudoType)},
		{cty.MapVal(map[string]cty.Value{"": leaf.value}), cty.Map(cty.DynamicPseudoType)},
	}
}

func collections() []sample {
	var all []sample
	object := cty.Object(map[string]cty.Type{"name": cty.String, "sizes": cty.List(cty.Number)})
	for _, ety := range []cty.Type{cty.String, cty.Number, cty.Bool, cty.Set(cty.String), object} {
		for _, ty := range []cty.Type{cty.List(ety), cty.Set(ety), cty.Map(ety)} {
			unknown := cty.UnknownVal(ty)
			all = append(all, sample{cty.NullVal(ty), ty}, sample{unknown, ty}, sample{unknown.RefineNotNull(), ty},
				sample{unknown.Refine().CollectionLengthLowerBound(2).NewValue(), ty},
				sample{unknown.Refine().NotNull().CollectionLengthUpperBound(300).NewValue(), ty},
				sample{unknown.Refine().CollectionLengthLowerBound(1).CollectionLengthUpperBound(70000).NewValue(), ty})
		}
		all = append(all, sample{cty.ListValEmpty(ety), cty.List(ety)}, sample{cty.SetValEmpty(ety), cty.Set(ety)},
			sample{cty.MapValEmpty(ety), cty.Map(ety)}, sample{cty.ListVal([]cty.Value{cty.NullVal(ety)}), cty.List(ety)})
	}
	for _, count := range []int{15, 16, 300} {
		var numbers []cty.Value
		entries := map[string]cty.Value{}
		for i := 0; i < count; i++ {
			numbers = append(numbers, cty.NumberIntVal(int64(i*7919%count)))
			entries["key"+strconv.Itoa(i)] = cty.BoolVal(i%2 == 0)
		}
		all = append(all, sample{cty.ListVal(numbers), cty.List(cty.Number)}, sample{cty.SetVal(numbers), cty.Set(cty.Number)},
			sample{cty.MapVal(entries), cty.Map(cty.Bool)}, sample{cty.TupleVal(numbers), cty.TupleVal(numbers).Type()},
			sample{cty.ObjectVal(entries), cty.ObjectVal(entries).Type()})
	}
	all = append(all, sample{cty.EmptyObjectVal, cty.EmptyObject}, sample{cty.EmptyTupleVal, cty.EmptyTuple},
		sample{cty.NullVal(object), object}, sample{cty.UnknownVal(object), object},
		sample{cty.UnknownVal(object).RefineNotNull(), object},
		sample{cty.NullVal(cty.EmptyTuple), cty.EmptyTuple}, sample{cty.UnknownVal(cty.EmptyTuple), cty.EmptyTuple})
	return all
}

// mixed is what real configurations look like: everything inside everything.
func mixed() []sample {
	var all []sample
	rule := cty.Object(map[string]cty.Type{"port": cty.Number, "tags": cty.Set(cty.String), "extra": cty.DynamicPseudoType})
	rules := func(extra cty.Value, tags ...cty.Value) cty.Value {
		set := cty.SetValEmpty(cty.String)
		if len(tags) > 0 {
			set = cty.SetVal(tags)
		}
		return cty.ObjectVal(map[string]cty.Value{"port": cty.MustParseNumberVal("0.8"), "tags": set, "extra": extra})
	}
	some := []cty.Value{
		rules(cty.NullVal(cty.DynamicPseudoType)),
		rules(cty.DynamicVal, cty.StringVal("b"), cty.StringVal("a")),
		rules(cty.NullVal(cty.Map(cty.String)), cty.StringVal("b"), cty.UnknownVal(cty.String)),
		rules(cty.UnknownVal(cty.List(cty.Number)), cty.UnknownVal(cty.String), cty.UnknownVal(cty.String)),
		rules(cty.TupleVal([]cty.Value{cty.True, cty.ObjectVal(map[string]cty.Value{"x": cty.NumberFloatVal(0.1)})}),
			cty.NullVal(cty.String)),
		rules(cty.ObjectVal(map[string]cty.Value{"deep": cty.ListVal([]cty.Value{cty.ListValEmpty(cty.Bool)})})),
	}
	for _, v := range some {
		all = append(all, sample{v, rule})
		whole := cty.ObjectVal(map[string]cty.Value{"rules": cty.TupleVal([]cty.Value{v, v}), "id": cty.UnknownVal(cty.String)})
		all = append(all, sample{whole, whole.Type()}, sample{whole, cty.DynamicPseudoType})
		held := cty.Object(map[string]cty.Type{"rules": cty.Tuple([]cty.Type{rule, rule}), "id": cty.String})
		all = append(all, sample{whole, held})
	}
	deep, ty := cty.StringVal("bottom"), cty.String
	for i := 0; i < 30; i++ {
		deep, ty = cty.ListVal([]cty.Value{deep}), cty.List(ty)
	}
	all = append(all, sample{deep, ty}, sample{deep, cty.DynamicPseudoType})
	all = append(all, sample{cty.StringVal(strings.Repeat("x", 66000)), cty.String},
		sample{cty.DynamicVal, cty.DynamicPseudoType},
		sample{cty.NullVal(cty.DynamicPseudoType), cty.DynamicPseudoType})
	pairs := cty.SetVal([]cty.Value{
		cty.ObjectVal(map[string]cty.Value{"n": cty.NumberIntVal(2), "s": cty.StringVal("x")}),
		cty.ObjectVal(map[string]cty.Value{"n": cty.MustParseNumberVal("2.0"), "s": cty.StringVal("x")}),
		cty.ObjectVal(map[string]cty.Value{"n": cty.UnknownVal(cty.Number), "s": cty.StringVal("x")}),
	})
	return append(all, sample{pairs, pairs.Type()})
}
