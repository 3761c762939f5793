package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"gopkg.in/yaml.v3"
)

// play is the part of a playbook that the promises below are about.
type play struct {
	Hosts   string
	Serial  any
	MaxFail *int `yaml:"max_fail_percentage"`
}

// What the playbooks do on machines is seen by make ansible-check, which has two of them.
func TestUpgradeTakesOneNodeThenATenthAndStopsAtTheFirstThatFails(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("ansible/upgrade.yml")
	if err != nil {
		t.Fatal(err)
	}
	var plays []play
	if err := yaml.Unmarshal(raw, &plays); err != nil || len(plays) != 2 {
		t.Fatalf("%d plays, %v", len(plays), err)
	}
	nodes, apis := plays[0], plays[1]
	batches, _ := nodes.Serial.([]any)
	if nodes.Hosts != "wptk_nodes" || len(batches) != 2 || batches[0] != 1 || batches[1] != "10%" {
		t.Errorf("nodes are taken %v at a time", nodes.Serial)
	}
	if apis.Hosts != "wptk_apis" || apis.Serial != 1 {
		t.Errorf("after them %s, %v at a time", apis.Hosts, apis.Serial)
	}
	for _, p := range plays {
		if p.MaxFail == nil || *p.MaxFail != 0 {
			t.Errorf("%s goes on after one that failed", p.Hosts)
		}
	}
}

func TestRoleNamesOnlyTaskFilesThatAreThere(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("ansible/*.yml")
	if err != nil || len(files) < 4 {
		t.Fatalf("playbooks: %v, %v", files, err)
	}
	tasks, err := filepath.Glob("ansible/roles/wptk/tasks/*.yml")
	if err != nil || len(tasks) < 5 {
		t.Fatalf("tasks: %v, %v", tasks, err)
	}
	included := regexp.MustCompile(`(?:include_tasks: |tasks_from: )([a-z_]+)`)
	used := map[string]bool{"main": true}
	for _, file := range append(files, tasks...) {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// `ansible-playbook --syntax-check` does not look into files that are included while it runs.
		if err := yaml.Unmarshal(raw, new(any)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for _, m := range included.FindAllSubmatch(raw, -1) {
			used[string(m[1])] = true
		}
	}
	for name := range used {
		inRepo(t, filepath.Join("deploy/ansible/roles/wptk/tasks", name+".yml"))
	}
	for _, file := range tasks {
		if name := filepath.Base(file); !used[name[:len(name)-len(".yml")]] {
			t.Errorf("%s is used by nothing", file)
		}
	}
}
