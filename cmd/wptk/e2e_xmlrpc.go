package main

import (
	"io"
	"net/http"
	"strings"
)

// xmlrpcTakes is what XML-RPC of a site does for visitors.
type xmlrpcTakes struct {
	Bundle    bool // many calls in one request
	Pingback  bool
	Single    bool // one call, with the administrator's name and password
	Announced bool // a post says where to ping
}

// xmlrpc asks xmlrpc.php of the site as apps, and those who guess passwords, do.
func (x *exam) xmlrpc() any {
	text := func(s string) string {
		return "<param><value><string>" + strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(s) + "</string></value></param>"
	}
	const bundle = `<param><value><array><data><value><struct><member><name>methodName</name><value><string>demo.sayHello</string></value></member>` +
		`<member><name>params</name><value><array><data></data></array></value></member></struct></value></data></array></value></param>`
	const notFound = "<int>-32601</int>"
	return xmlrpcTakes{
		Bundle:    strings.Contains(x.call("system.multicall", bundle), "Hello!"),
		Pingback:  !strings.Contains(x.call("pingback.ping", text("https://elsewhere.example/")+text(x.url()+"/?p=1")), notFound),
		Single:    strings.Contains(x.call("wp.getUsersBlogs", text(e2eAdmin)+text(x.password)), "blogName"),
		Announced: x.pingAddress() != "",
	}
}

// call makes one call of XML-RPC, its parameters given in XML.
func (x *exam) call(method, params string) (answer string) {
	if x.err != nil {
		return ""
	}
	body := `<?xml version="1.0"?><methodCall><methodName>` + method + "</methodName><params>" + params + "</params></methodCall>"
	req, err := http.NewRequestWithContext(x.ctx, http.MethodPost, x.url()+"/xmlrpc.php", strings.NewReader(body))
	if err != nil {
		x.note(err)
		return ""
	}
	req.Header.Set("Content-Type", "text/xml")
	res, err := x.visitor().Do(req)
	if err != nil {
		x.note(err)
		return ""
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	x.note(err)
	x.check(res.StatusCode == http.StatusOK, "XML-RPC answers %s to %s", res.Status, method)
	return string(data)
}

// pingAddress is where the first post says that it takes pingbacks.
func (x *exam) pingAddress() string {
	if x.err != nil {
		return ""
	}
	v := x.visitor()
	res, _, err := v.visit(x.ctx, "/?p=1", nil) //nolint:bodyclose // visit has read and closed it
	if err == nil && res.StatusCode/100 == 3 {  // to its permalink
		res, _, err = v.visit(x.ctx, strings.TrimPrefix(res.Header.Get("Location"), x.url()), nil) //nolint:bodyclose // so it has
	}
	if err != nil {
		x.note(err)
		return ""
	}
	x.check(res.StatusCode == http.StatusOK, "the first post answers %s", res.Status)
	return res.Header.Get("X-Pingback")
}
