package boot

import (
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"strings"
)

// Dump is the effective settings for the start-up log line. A field tagged
// `secret:""` shows only whether it is set; a password inside a URL is cut out.
func Dump(cfg Settings) slog.Value {
	return slog.GroupValue(fields(reflect.ValueOf(cfg).Elem())...)
}

func fields(v reflect.Value) []slog.Attr {
	var attrs []slog.Attr
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		switch {
		case !field.IsExported() && !field.Anonymous:
		case field.Anonymous || field.Type.Kind() == reflect.Struct:
			attrs = append(attrs, fields(value)...)
		case hasTag(field, "secret"):
			attrs = append(attrs, slog.Bool(field.Name+"_set", !value.IsZero()))
		default:
			attrs = append(attrs, slog.String(field.Name, withoutPassword(fmt.Sprint(value.Interface()))))
		}
	}
	return attrs
}

func hasTag(f reflect.StructField, tag string) bool {
	_, ok := f.Tag.Lookup(tag)
	return ok
}

func withoutPassword(s string) string {
	if !strings.Contains(s, "://") || !strings.Contains(s, "@") {
		return s
	}
	u, err := url.Parse(s)
	if err != nil {
		return "(unreadable URL)"
	}
	return u.Redacted()
}
