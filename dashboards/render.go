package dashboards

import "encoding/json"

// schemaVersion is the format of Grafana 10 and 11; later ones migrate it when they load it.
const schemaVersion = 39

type object = map[string]any

// Place is where a panel is, in Grafana's units: 24 columns, and heights of 30 pixels.
type Place struct{ X, Y, W, H int }

// Places lays the panels out in rows.
func (b Board) Places() []Place {
	places := make([]Place, len(b.Panels))
	x, y, tallest := 0, 0, 0
	for i, p := range b.Panels {
		if x+p.Width > 24 {
			x, y, tallest = 0, y+tallest, 0
		}
		places[i] = Place{x, y, p.Width, p.Height}
		x, tallest = x+p.Width, max(tallest, p.Height)
	}
	return places
}

// Render writes a board as Grafana's JSON, ending in a newline.
func (b Board) Render() ([]byte, error) {
	source := object{"type": "prometheus", "uid": "${source}"}
	panels := make([]object, len(b.Panels))
	places := b.Places()
	for i, p := range b.Panels {
		at := places[i]
		panels[i] = p.render(i+1, source, object{"x": at.X, "y": at.Y, "w": at.W, "h": at.H})
	}
	out, err := json.MarshalIndent(object{
		"uid": b.UID, "title": b.Title, "schemaVersion": schemaVersion, "version": 1, "editable": false,
		"tags": []string{"wptk"}, "timezone": "browser", "refresh": "10s",
		"time":        object{"from": "now-1h", "to": "now"},
		"panels":      panels,
		"templating":  object{"list": b.variables(source)},
		"annotations": object{"list": []object{deploys(source)}},
		"links": []object{{
			"type": "dashboards", "title": "WordPress Toolkit", "tags": []string{"wptk"},
			"asDropdown": false, "includeVars": true, "keepTime": true, "targetBlank": false, "icon": "external link", "url": "",
		}},
	}, "", "  ")
	return append(out, '\n'), err
}

func (b Board) variables(source object) []object {
	list := []object{{
		"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus",
		"current": object{"text": "Prometheus", "value": "prometheus"},
	}}
	for _, v := range b.Vars {
		list = append(list, object{
			"name": v.Name, "label": v.Label, "type": "query", "datasource": source,
			"definition": v.Query, "query": object{"query": v.Query, "refId": v.Name},
			"multi": true, "includeAll": true, "allValue": ".*", "refresh": 2, "sort": 1,
			"current": object{"text": []string{"All"}, "value": []string{"$__all"}},
		})
	}
	return list
}

// Deploys is the expression of the annotation: a process of ours that has just been started.
const Deploys = `changes(process_start_time_seconds{job=~"wptk-.*"}[1m]) > 0`

// deploys marks restarts, so that what changes with them is seen to.
func deploys(source object) object {
	return object{
		"name": "Starts", "enable": true, "hide": false, "iconColor": "blue", "datasource": source,
		"expr": Deploys, "step": "30s", "titleFormat": "{{job}} started", "textFormat": "{{instance}}",
	}
}

func (p Panel) render(id int, source, place object) object {
	targets := make([]object, len(p.Targets))
	for i, t := range p.Targets {
		format := "time_series"
		if p.Kind == "heatmap" {
			format = "heatmap"
		}
		targets[i] = object{"format": format, "refId": string(rune('A' + i)), "expr": t.Expr, "legendFormat": t.Legend, "datasource": source}
	}
	unit := p.Unit
	if unit == "" {
		unit = "short"
	}
	panel := object{
		"id": id, "type": p.Kind, "title": p.Title, "description": p.Help, "gridPos": place,
		"datasource": source, "targets": targets,
		"fieldConfig": object{"defaults": object{"unit": unit, "min": 0, "noValue": "0"}, "overrides": []object{}},
	}
	switch p.Kind {
	case "heatmap":
		panel["options"] = object{"calculate": false, "yAxis": object{"unit": unit}, "cellGap": 1, "color": object{"mode": "scheme", "scheme": "Oranges", "steps": 64}}
	case "timeseries":
		panel["options"] = object{
			"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": true},
			"tooltip": object{"mode": "multi", "sort": "desc"},
		}
	}
	return panel
}
