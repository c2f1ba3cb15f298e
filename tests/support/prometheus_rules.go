// Reads JSON from standard input, `{"rules": {"groups": [...]}, "expressions": [...]}`, as Prometheus itself would read the rules and
// the expressions. Prints what is wrong, a line each. Built by scripts/fetch_k8s.
package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

func main() {
	var given struct {
		Rules       json.RawMessage `json:"rules"`
		Expressions []string        `json:"expressions"`
	}
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		panic(err)
	}
	parse := parser.NewParser(parser.Options{})
	_, mistakes := rulefmt.Parse(given.Rules, false, model.UTF8Validation, parse, slog.Default())
	for _, each := range mistakes {
		fmt.Println(each)
	}
	for _, each := range given.Expressions {
		if _, err := parse.ParseExpr(each); err != nil {
			fmt.Printf("%s: %v\n", each, err)
		}
	}
}
