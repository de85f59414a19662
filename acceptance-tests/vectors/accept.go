package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	ctyjson "github.com/zclconf/go-cty/cty/json"
	"github.com/zclconf/go-cty/cty/msgpack"
)

// accept reads what somebody else wrote for the same values, in the same order, and ends with an error unless go-cty
// reads every one as the value that it reads from its own bytes.
func accept(file string) {
	text, err := os.ReadFile(file)
	check(err)
	var written []struct {
		Msgpack string  `json:"msgpack"`
		JSON    *string `json:"json"`
	}
	check(json.Unmarshal(text, &written))
	all := cases()
	if len(written) != len(all) {
		panic(fmt.Sprintf("%d values were written of %d", len(written), len(all)))
	}
	for i, c := range all {
		own, err := msgpack.Marshal(c.value, c.ty)
		check(err)
		expected, err := msgpack.Unmarshal(own, c.ty)
		check(err)
		packed, err := hex.DecodeString(written[i].Msgpack)
		check(err)
		value, err := msgpack.Unmarshal(packed, c.ty)
		check(err)
		if !value.RawEquals(expected) {
			panic(fmt.Sprintf("value %d: %#v was read as %#v", i, expected, value))
		}
		if written[i].JSON != nil {
			value, err := ctyjson.Unmarshal([]byte(*written[i].JSON), c.ty)
			check(err)
			if !value.RawEquals(expected) {
				panic(fmt.Sprintf("value %d: %#v was read from JSON as %#v", i, expected, value))
			}
		}
	}
	fmt.Println("accepted", len(all))
}
