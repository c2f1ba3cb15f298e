// One Swagger UI for each OpenAPI document that the page links to.
for (const link of document.querySelectorAll("a.openapi")) {
  const domNode = document.body.appendChild(document.createElement("div"));
  // Without this null, Swagger UI asks a public validator about the document.
  SwaggerUIBundle({ url: link.href, domNode, validatorUrl: null });
}
