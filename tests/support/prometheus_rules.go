// Reads JSON from standard input, `{"rules": {"groups": [...]}, "expressions": [...], "tests": [...]}`, as Prometheus itself would read the rules
// and the expressions, and evaluates the rules every 30 s over the series of each test, as `promtool test rules` does. Prints what is wrong, a
// line each. Built by scripts/fetch_k8s.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

const evaluateEvery = 30 * time.Second

type test struct {
	Name string `json:"name"`
	// In the notation of promtool, a value a minute.
	Series map[string]string `json:"series"`
	// The alerts that fire, by minute. All others must not.
	Firing map[int][]string `json:"firing"`
}

func main() {
	var given struct {
		Rules       json.RawMessage `json:"rules"`
		Expressions []string        `json:"expressions"`
		Tests       []test          `json:"tests"`
	}
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		panic(err)
	}
	parse := parser.NewParser(parser.Options{})
	_, mistakes := rulefmt.Parse(given.Rules, false, model.UTF8Validation, parse, slog.Default())
	for _, mistake := range mistakes {
		fmt.Println(mistake)
	}
	for _, expression := range given.Expressions {
		if _, err := parse.ParseExpr(expression); err != nil {
			fmt.Printf("%s: %v\n", expression, err)
		}
	}
	if len(given.Tests) > 0 && len(mistakes) == 0 {
		run(given.Tests, given.Rules, parse)
	}
}

func loaded(series map[string]string) *promqltest.LazyLoader {
	load := "load 1m\n"
	for name, values := range series {
		load += fmt.Sprintf("  %s %s\n", name, values)
	}
	suite, err := promqltest.NewLazyLoader(load, promqltest.LazyLoaderOpts{EnableAtModifier: true, EnableNegativeOffset: true})
	check(err)
	return suite
}

func run(tests []test, given json.RawMessage, parse parser.Parser) {
	directory, err := os.MkdirTemp("", "rules")
	check(err)
	defer os.RemoveAll(directory)
	file := filepath.Join(directory, "rules.yaml")
	check(os.WriteFile(file, given, 0o600))
	for _, test := range tests {
		for minute, firing := range evaluated(test, file, parse) {
			expected := slices.Sorted(slices.Values(test.Firing[minute]))
			if !slices.Equal(firing, expected) {
				fmt.Printf("%s, minute %d: firing %v, expected %v\n", test.Name, minute, firing, expected)
			}
		}
	}
}

// The alerts that fire, in order, at each minute of which the test says something.
func evaluated(test test, file string, parse parser.Parser) map[int][]string {
	suite := loaded(test.Series)
	defer suite.Close()
	suite.SubqueryInterval = evaluateEvery
	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc:  rules.EngineQueryFunc(suite.QueryEngine(), suite.Storage()),
		Appendable: suite.Storage(),
		Context:    context.Background(),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {},
		Logger:     promslog.NewNopLogger(),
		Parser:     parse,
	})
	read, errs := manager.LoadGroups(evaluateEvery, labels.EmptyLabels(), "", nil, false, file)
	for _, err := range errs {
		check(err)
	}
	groups := make([]*rules.Group, 0, len(read))
	for _, group := range read {
		groups = append(groups, group)
	}
	// Records come before the alerts that ask for them.
	slices.SortFunc(groups, func(a, b *rules.Group) int { return strings.Compare(b.Name(), a.Name()) })
	found := map[int][]string{}
	last := slices.Max(slices.Collect(maps.Keys(test.Firing)))
	for at := time.Duration(0); at <= time.Duration(last)*time.Minute; at += evaluateEvery {
		suite.WithSamplesTill(time.Unix(0, 0).Add(at), check)
		firing := []string{}
		for _, group := range groups {
			group.Eval(suite.Context(), time.Unix(0, 0).Add(at))
			for _, rule := range group.Rules() {
				check(rule.LastError())
				if alerting, ok := rule.(*rules.AlertingRule); ok {
					alerting.SetRestored(true)
					for _, alert := range alerting.ActiveAlerts() {
						if alert.State == rules.StateFiring {
							firing = append(firing, alerting.Name())
						}
					}
				}
			}
		}
		if minute := int(at / time.Minute); at%time.Minute == 0 {
			if _, asked := test.Firing[minute]; asked {
				slices.Sort(firing)
				found[minute] = slices.Compact(firing)
			}
		}
	}
	return found
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
